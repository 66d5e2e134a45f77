// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
)

func TestConfigPrintsWhatWasChosen(t *testing.T) {
	for _, tc := range []struct {
		args      string
		has, lack []string
	}{
		{
			"config rules",
			[]string{"DiskLatencyP99High", "TcpRetransmitRateHigh", "KernscopeDown", "rate(ebpf_disk_io_latency_microseconds[5m])", "/ 1000000"},
			[]string{"_seconds_bucket"},
		},
		{
			"config rules diskio --units=seconds",
			[]string{"DiskLatencyP99High", "KernscopeDown", "rate(ebpf_disk_io_latency_seconds_bucket[5m])"},
			[]string{"TcpRetransmitRateHigh", "microseconds", "/ 1000000"},
		},
		{
			"config rules --no-collector.diskio",
			[]string{"TcpRetransmitRateHigh"},
			[]string{"DiskLatencyP99High"},
		},
		{
			"config rule-tests schedlat tcp-retransmit",
			[]string{"SchedulerLatencyHigh", "TcpRetransmitRateHigh", "- kernscope.rules.yml"},
			[]string{"DiskLatencyP99High"},
		},
		{
			"config dashboard",
			[]string{"eBPF Kernel Metrics", "Disk I/O latency", "TCP retransmits", "ebpf_disk_io_latency_microseconds_bucket", `"unit": "µs"`},
			[]string{"_seconds{"},
		},
		{
			"config dashboard diskio --units=seconds",
			[]string{"Disk I/O latency", "ebpf_disk_io_latency_seconds_bucket"},
			[]string{"TCP retransmits", `"Network"`, "microseconds", "µs"},
		},
		{
			"config prometheus",
			[]string{"localhost:9436", "localhost:9100", "scrape_native_histograms: true", "- kernscope.rules.yml"},
			[]string{":9101", "alertmanagers"},
		},
		{
			"config prometheus --job-only",
			[]string{"job_name: kernscope", "localhost:9436"},
			[]string{"global:", "rule_files:\n", "job_name: node"},
		},
		{
			"config prometheus --layout=per-collector --target=db1 --target=db2 --no-native-histograms --alertmanager=am:9093 diskio",
			[]string{"db1:9101", "db2:9101", "db2:9100", "am:9093", "--target=db1 --target=db2 --alertmanager=am:9093 --no-native-histograms"},
			[]string{":9436", "localhost", "scrape_native_histograms", ":9116"},
		},
	} {
		code, stdout, stderr := command(t, strings.Fields(tc.args)...)
		if code != exitOK || stderr != "" {
			t.Errorf("%s: exit code %d, %s", tc.args, code, stderr)
		}
		for _, word := range tc.has {
			if !strings.Contains(stdout, word) {
				t.Errorf("%s does not print %q", tc.args, word)
			}
		}
		for _, word := range tc.lack {
			if strings.Contains(stdout, word) {
				t.Errorf("%s prints %q", tc.args, word)
			}
		}
	}
}

func TestConfigKnowsEveryPort(t *testing.T) {
	_, stdout, _ := command(t, "config", "prometheus", "--layout=per-collector")
	for _, s := range builtin.Collectors() {
		if scraped := strings.Contains(stdout, "exporter: "+s.Name+"\n"); scraped != (s.Port != 0) {
			t.Errorf("%s of port %d is scraped: %v", s.Name, s.Port, scraped)
		}
	}
}

func TestConfigOfUnknownCollector(t *testing.T) {
	for _, p := range printouts() {
		code, stdout, stderr := command(t, "config", p.name, "schedlat", "nosuch")
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, `"nosuch"`) {
			t.Errorf("config %s of an unknown collector: code %d, stdout %q, stderr %q", p.name, code, stdout, stderr)
		}
	}
}
