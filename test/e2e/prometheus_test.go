// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
)

func TestPrometheus(t *testing.T) {
	t.Parallel()
	write(t)
	target := kernscope(t)
	address := prometheus(t, target)
	if up := query(t, address, `up{job="kernscope"} == 1`); len(up) != 1 {
		t.Fatalf("up: %v", up)
	}

	// The native histogram has the metric's name, without a suffix.
	native := query(t, address, `histogram_quantile(0.99, sum by (device) (rate(ebpf_disk_io_latency_microseconds{operation="write"}[1m])))`)
	for _, s := range native {
		if n := s.number(); n < 1 || n > 60e6 {
			t.Errorf("p99 of writes to %s is %v µs", s.Metric["device"], n)
		}
	}
	// The classic histogram has the same counts. Its quantiles differ by less than the width of a
	// classic bucket, and its counts not at all.
	for _, s := range query(t, address, `
		histogram_quantile(0.99, sum by (device, le) (rate(ebpf_disk_io_latency_microseconds_bucket{operation="write"}[1m])))
		/ histogram_quantile(0.99, sum by (device) (rate(ebpf_disk_io_latency_microseconds{operation="write"}[1m])))`) {
		if n := s.number(); n < 0.45 || n > 2.2 {
			t.Errorf("classic p99 of %s is %v times the native one", s.Metric["device"], n)
		}
	}
	// Next to the limits of alerts, the classic histogram has the bounds of the native one. What is
	// below them is the same number of observations.
	const waits = "ebpf_sched_runqueue_latency_microseconds"
	bounds := query(t, address, waits+`_bucket{le=~"9741[.].*|10623[.].*|46340[.].*|50535[.].*"}`)
	if len(bounds) != 4 {
		t.Errorf("bounds next to 10 and 50 ms: %v", bounds)
	}
	for _, s := range bounds {
		le := s.Metric["le"]
		for _, s := range query(t, address, fmt.Sprintf(`sum(%s_bucket{le="%s"}) - sum(histogram_fraction(0, %s, %s) * histogram_count(%s))`, waits, le, le, waits, waits)) {
			if math.Abs(s.number()) > 0.01 {
				t.Errorf("classic and native count up to %s µs differ by %v", le, s.number())
			}
		}
	}
	for _, name := range []string{"ebpf_disk_io_latency_microseconds", waits} {
		for _, s := range query(t, address, "histogram_count("+name+") - "+name+"_count") {
			if s.number() != 0 {
				t.Errorf("native and classic count of %v differ by %v", s.Metric, s.number())
			}
		}
		for _, s := range query(t, address, "histogram_sum("+name+") - "+name+"_sum") {
			if s.number() != 0 {
				t.Errorf("native and classic sum of %v differ by %v", s.Metric, s.number())
			}
		}
	}
	if rate := query(t, address, `sum(rate(ebpf_syscalls_total[1m]))`); rate[0].number() <= 0 {
		t.Errorf("no system calls: %v", rate)
	}
	if lost := query(t, address, `sum(kernscope_lost_events_total{collector=~"diskio|schedlat|syscall"})`); lost[0].number() != 0 {
		t.Errorf("%v events lost", lost[0].number())
	}
}

// promtool complains about these names: about the default unit, and about one counter. The names
// stay, because users know them.
var (
	unitLint    = regexp.MustCompile(`^ebpf_\w+ use base unit "seconds" instead of "microseconds"$`)
	counterLint = `ebpf_tcp_retransmits_by_dest counter metrics should have "_total" suffix`
)

// switches returns the flags that switch on every option of every collector that can be switched on.
func switches() (flags []string) {
	for _, s := range builtin.Collectors() {
		for _, o := range s.Options {
			if _, isSwitch := o.Zero().(bool); isSwitch {
				flags = append(flags, "--collector."+s.Name+"."+o.Name)
			}
		}
	}
	return flags
}

func TestPromtoolFindsNothing(t *testing.T) {
	t.Parallel()
	write(t)
	for _, unit := range []string{"microseconds", "seconds"} {
		body := eventually(t, "no metrics", func() (string, error) {
			return get(t, "http://"+kernscope(t, append(switches(), "--units="+unit)...)+"/metrics")
		})
		check := exec.CommandContext(t.Context(), filepath.Join(environment(t, "PROMETHEUS_TOOLS"), "promtool"), "check", "metrics")
		check.Stdin = strings.NewReader(body)
		out, err := check.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if line = strings.TrimSpace(line); line == counterLint || unit == "microseconds" && unitLint.MatchString(line) {
				continue
			}
			t.Errorf("--units=%s: %s", unit, line)
		}
	}
}
