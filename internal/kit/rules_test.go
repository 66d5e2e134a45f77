// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/metric"
)

// TestAlertsAreWhatUsersKnow holds alerts that others have built upon to their
// names, thresholds, durations and severities.
func TestAlertsAreWhatUsersKnow(t *testing.T) {
	type known struct{ group, name, limit, lasts, severity string }
	want := []known{
		{"ebpf_disk", "DiskLatencyP99High", " > 0.05", "5m", "warning"},
		{"ebpf_disk", "DiskLatencyP99Critical", " > 0.2", "2m", "critical"},
		{"ebpf_network", "TcpRetransmitRateHigh", " > 10", "5m", "warning"},
		{"ebpf_system", "SchedulerLatencyHigh", " > 0.01", "5m", "warning"},
		{"ebpf_system", "SchedulerLatencyCritical", " > 0.05", "2m", "critical"},
		{"ebpf_system", "PageCacheHitRateLow", "\n< 0.90", "10m", "warning"},
		{"ebpf_system", "MajorPageFaultsHigh", " > 100", "5m", "warning"},
	}
	for _, unit := range []metric.Unit{metric.Microseconds, metric.Seconds} {
		text, err := Rules(builtin.Collectors(), unit)
		if err != nil {
			t.Fatal(err)
		}
		var file ruleFile
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				i := slices.IndexFunc(want, func(k known) bool { return k.name == r.Alert })
				if i < 0 {
					continue
				}
				found++
				k := want[i]
				if g.Name != k.group || r.For != k.lasts || r.Labels["severity"] != k.severity || !strings.HasSuffix(r.Expr, k.limit) {
					t.Errorf("%v: %s of group %s, for %s, severity %s is on %s\nwant %q", unit, r.Alert, g.Name, r.For, r.Labels["severity"], r.Expr, k)
				}
			}
		}
		if found != len(want) {
			t.Errorf("%v: %d of %d alerts are there", unit, found, len(want))
		}
	}
}

// TestFiles compares what is written of specs that only a test has. promtool
// reads the same files in test/e2e.
func TestFiles(t *testing.T) {
	specs := []collector.Spec{gadget(), stowaway()}
	for name, generate := range map[string]func() ([]byte, error){
		RulesFile:                  func() ([]byte, error) { return Rules(specs, metric.Microseconds) },
		"kernscope.rules.test.yml": func() ([]byte, error) { return RuleTests(specs, metric.Microseconds) },
		"kernscope.yml": func() ([]byte, error) {
			return Prometheus(specs, Scrape{Layout: OnePort, Hosts: []string{"db1"}})
		},
		"kernscope.job.yml": func() ([]byte, error) {
			return Prometheus(specs, Scrape{Layout: OnePort, Hosts: []string{"db1"}, JobOnly: true})
		},
		"kernscope-per-collector.yml": func() ([]byte, error) {
			return Prometheus(specs, Scrape{Layout: PerCollector, Hosts: []string{"db1", "fe80::1"}, Native: true, Alertmanagers: []string{"am:9093"}})
		},
	} {
		got, err := generate()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden := filepath.Join("testdata", "prometheus", name)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what is written any more (%v): see the difference after go test ./internal/kit -run TestFiles -update", golden, err)
		}
	}
}

func TestRulesThatCannotBeWritten(t *testing.T) {
	for _, tc := range []struct {
		says   string
		spoil  func(*collector.Spec)
		inTest bool
	}{
		{`"GadgetSlips" of gad-get: it is in no group`, func(s *collector.Spec) { s.Alerts[0].Group = "" }, false},
		{`alert "" of gad-get: it has no name`, func(s *collector.Spec) { s.Alerts[0].Name = "" }, false},
		{"it has no expression", func(s *collector.Spec) { s.Alerts[0].Expr = "" }, false},
		{`severity "page"`, func(s *collector.Spec) { s.Alerts[0].Severity = "page" }, false},
		{"a runbook", func(s *collector.Spec) { s.Alerts[0].Runbook = "" }, false},
		{"its name is taken", func(s *collector.Spec) { s.Alerts = append(s.Alerts, s.Alerts[0]) }, false},
		{"its name is taken", func(s *collector.Spec) { s.Alerts[0].Name = "KernscopeDown" }, false},
		{"nonsense", func(s *collector.Spec) { s.Alerts[0].Expr = "{{nonsense}}" }, false},
		{`recording rule "a:b:c" of gad-get: it has no expression`, func(s *collector.Spec) {
			s.Records = []collector.Record{{Group: "g", Name: "a:b:c"}}
		}, false},
		{"are both needed", func(s *collector.Spec) { s.Alerts[0].Quiet = nil }, true},
		{"are both needed", func(s *collector.Spec) { s.Alerts[0].Fires = nil }, true},
		{"humanizeFurlongs", func(s *collector.Spec) { s.Alerts[0].Summary = "{{ $value | humanizeFurlongs }}" }, true},
		{"device", func(s *collector.Spec) { s.Alerts[0].Summary = "{{ $labels.device }}" }, true},
	} {
		spec := gadget()
		tc.spoil(&spec)
		generate := Rules
		if tc.inTest {
			generate = RuleTests
		}
		text, err := generate([]collector.Spec{spec}, metric.Seconds)
		if err == nil || !strings.Contains(err.Error(), tc.says) || text != nil {
			t.Errorf("error %v does not say %q; text %q", err, tc.says, text)
		}
	}
}

// TestAlertAtOnce is of one that lasts for no time: there is no earlier.
func TestAlertAtOnce(t *testing.T) {
	spec := gadget()
	spec.Alerts[0].For = 0
	text, err := RuleTests([]collector.Spec{spec}, metric.Seconds)
	if err != nil {
		t.Fatal(err)
	}
	var file testFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if e := file.Tests[0].Evaluated; len(e) != 2 || e[0].Time != "19m" || len(e[0].Expect) != 1 || e[1].Time != "1h30m" || len(e[1].Expect) != 0 {
		t.Errorf("evaluated: %+v", e)
	}
}

// TestBound is what the tests of rules stand on: a bucket's bound in both units.
func TestBound(t *testing.T) {
	for _, tc := range []struct {
		latency  time.Duration
		unit     metric.Unit
		exponent int
		seconds  float64
	}{
		{62500 * time.Microsecond, metric.Microseconds, 16, 0.065536},
		{65536 * time.Microsecond, metric.Microseconds, 16, 0.065536},
		{62500 * time.Microsecond, metric.Seconds, -4, 0.0625},
		{3 * time.Second, metric.Seconds, 2, 4},
	} {
		exponent, seconds := bound(tc.latency, tc.unit)
		if exponent != tc.exponent || seconds != tc.seconds {
			t.Errorf("%v in %v: 2^%d, %v s; want 2^%d, %v s", tc.latency, tc.unit, exponent, seconds, tc.exponent, tc.seconds)
		}
	}
}
