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
		{"ebpf_disk", "DiskLatencyP99High", "> 0.05", "5m", "warning"},
		{"ebpf_disk", "DiskLatencyP99Critical", "> 0.2", "2m", "critical"},
		{"ebpf_network", "TcpRetransmitRateHigh", "> 10", "5m", "warning"},
		{"ebpf_system", "SchedulerLatencyHigh", "> 0.01", "5m", "warning"},
		{"ebpf_system", "SchedulerLatencyCritical", "> 0.05", "2m", "critical"},
		{"ebpf_system", "PageCacheHitRateLow", "< 0.90", "10m", "warning"},
		{"ebpf_system", "MajorPageFaultsHigh", "> 100", "5m", "warning"},
	}
	for _, unit := range []metric.Unit{metric.Microseconds, metric.Seconds} {
		text, err := Rules(Asked{Specs: builtin.Collectors(), Unit: unit})
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
				if g.Name != k.group || r.For != k.lasts || r.Labels["severity"] != k.severity || !strings.Contains(r.Expr+"\n", k.limit+"\n") {
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
	asked := Asked{Specs: []collector.Spec{gadget(), stowaway()}, Some: true, Unit: metric.Microseconds}
	for name, generate := range map[string]func() ([]byte, error){
		RulesFile:                  func() ([]byte, error) { return Rules(asked) },
		"kernscope.rules.test.yml": func() ([]byte, error) { return RuleTests(asked) },
		"kernscope.yml": func() ([]byte, error) {
			return Prometheus(asked, Scrape{Layout: OnePort, Hosts: []string{"db1"}})
		},
		"kernscope.job.yml": func() ([]byte, error) {
			return Prometheus(asked, Scrape{Layout: OnePort, Hosts: []string{"db1"}, JobOnly: true})
		},
		"kernscope-per-collector.yml": func() ([]byte, error) {
			return Prometheus(asked, Scrape{Layout: PerCollector, Hosts: []string{"db1", "fe80::1"}, Textfiles: []string{"fe80::1", "nas"}, Native: true, Alertmanagers: []string{"am:9093"}})
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
		{"a ratio needs series of an idle host", func(s *collector.Spec) { s.Alerts[0].Idle = nil }, false},
		{"two conditions", func(s *collector.Spec) { s.Alerts[1].Expr = "up == 0" }, false},
		{"a quantile is a Slow", func(s *collector.Spec) {
			s.Alerts[0].Expr = `{{quantile 0.99 "ebpf_gadget_turn" "5m" "instance"}} > 0.01`
		}, false},
		{"needs a histogram, and labels", func(s *collector.Spec) { s.Alerts[1].Slow.By = nil }, false},
		{"no quantile 1", func(s *collector.Spec) { s.Alerts[1].Slow.Quantile = 1 }, false},
		{"limit 1h0m0s", func(s *collector.Spec) { s.Alerts[1].Slow.Limit = time.Hour }, false},
		{"window 1s", func(s *collector.Spec) { s.Alerts[1].Slow.Window = time.Second }, false},
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
		text, err := generate(Asked{Specs: []collector.Spec{spec}, Unit: metric.Seconds})
		if err == nil || !strings.Contains(err.Error(), tc.says) || text != nil {
			t.Errorf("error %v does not say %q; text %q", err, tc.says, text)
		}
	}
}

// TestAlertAtOnce is of one that lasts for no time: there is no earlier.
func TestAlertAtOnce(t *testing.T) {
	spec := gadget()
	spec.Alerts[0].For = 0
	text, err := RuleTests(Asked{Specs: []collector.Spec{spec}, Unit: metric.Seconds})
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

// TestBothFormsAgree holds the numbers in conditions on classic histograms to what
// they are for: a bucket with bounds next to the limit, of which any part of the
// observations is below the limit.
func TestBothFormsAgree(t *testing.T) {
	for _, unit := range []metric.Unit{metric.Microseconds, metric.Seconds} {
		for _, limit := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, 3 * time.Second} {
			buckets := metric.NewBuckets(unit).Around(limit)
			perSecond := float64(metric.Seconds / unit)
			var fires [2]int
			for _, each := range []time.Duration{limit / 3, limit * 19 / 20, limit, limit * 21 / 20, limit * 3} {
				for n := range uint64(500) {
					s := series{observed: []observed{{2000 - n, limit / 4}, {n, limit}, {n % 40, each}}}
					h, err := s.histogram(buckets)
					if err != nil {
						t.Fatal(err)
					}
					isNative := nativeQuantile(0.99, h)/perSecond > limit.Seconds()
					isClassic := classicQuantile(0.99, h)/perSecond > straight(limit, unit)
					if isNative != isClassic {
						t.Fatalf("%v in %v: of %v, the native form says %v, the classic one %v", limit, unit, s.observed, isNative, isClassic)
					}
					if isNative {
						fires[1]++
					} else {
						fires[0]++
					}
				}
			}
			if fires[0] < 50 || fires[1] < 50 {
				t.Errorf("%v in %v: %d are quiet and %d fire", limit, unit, fires[0], fires[1])
			}
		}
	}
}
