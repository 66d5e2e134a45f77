// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

func TestUnmeasured(t *testing.T) {
	measured, other := collector.Spec{Name: "measured"}, collector.Spec{Name: "other"}
	got := unmeasured([]collector.Spec{measured, other}, []Case{{Name: "measured, twice", Spec: measured}, {Name: "other", Spec: measured}})
	if len(got) != 1 || got[0].Case != "other" || got[0].Reason == "" {
		t.Errorf("%+v, want the one without a case", got)
	}
}

// What a case names must be there, or it fails only after minutes of measuring.
func TestCasesAreComplete(t *testing.T) {
	for _, c := range Cases() {
		var ours []string
		for _, m := range c.Spec.Metrics {
			ours = append(ours, m.FullName("microseconds"))
		}
		if !slices.Contains(ours, c.Counted.Name) {
			t.Errorf("%s: the collector has no metric %s", c.Name, c.Counted.Name)
		}
		if c.Textbook == nil {
			continue
		}
		if c.Textbook.Metrics[0].Name != c.TextbookCounted.Name {
			t.Errorf("%s: the textbook has no metric %s", c.Name, c.TextbookCounted.Name)
		}
		obj, err := c.Textbook.Load()
		if err != nil {
			t.Fatal(err)
		}
		for _, hook := range c.Textbook.Hooks {
			if program := hook.Ways[0].Programs[0]; obj.Programs[program] == nil {
				t.Errorf("%s: the textbook has no program %s", c.Name, program)
			}
		}
	}
}

// firstPrograms returns those of the best way that has any.
func firstPrograms(spec collector.Spec) []string {
	for _, h := range spec.Hooks {
		for _, w := range h.Ways {
			if len(w.Programs) > 0 {
				return w.Programs
			}
		}
	}
	return nil
}

func TestEmptiedKeepsTheHooks(t *testing.T) {
	for _, c := range Cases() {
		full, err := c.Spec.Load()
		if err != nil {
			t.Fatal(err)
		}
		taken := firstPrograms(c.Spec)
		spec := emptied(c.Spec, taken)
		if len(spec.Hooks) != len(taken) || !slices.Equal(firstPrograms(spec), taken[:1]) {
			t.Errorf("%s: the hooks are %v, want that of %v", c.Name, spec.Hooks, taken)
		}
		bare, err := spec.Load()
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range full.Programs {
			e := bare.Programs[name]
			if e == nil || e.Type != p.Type || e.AttachTo != p.AttachTo || len(e.Instructions) != 2 {
				t.Errorf("%s: %s is not an empty program of its kind: %v", c.Name, name, e)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{7}, 0.25, 7},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{5, 1, 2, 4, 3}, 0.25, 2},
		{[]float64{3, 1, 2}, 1, 3},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.values, got, c.want)
		}
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestSeries(t *testing.T) {
	found := []metric.Family{
		{Name: "other", Samples: []metric.Sample{{Value: 1000}}},
		{Name: "io", Labels: []string{"device", "op"}, Samples: []metric.Sample{
			{Labels: []string{"sda", "read"}, Value: 1},
			{Labels: []string{"sda", "write"}, Value: 10},
			{Labels: []string{"sdb", "read"}, Hist: &metric.Hist{Slots: []uint64{40, 60}}},
		}},
	}
	if got := (Series{Name: "io"}).total(found); got != 111 {
		t.Errorf("all are %v", got)
	}
	sda := Series{Name: "io", Labels: map[string]string{"op": "read"}}.with(map[string]string{"device": "sda"})
	if got := sda.total(found); got != 1 {
		t.Errorf("reads of sda are %v", got)
	}
	if got := (Series{Name: "io", Labels: map[string]string{"cpu": "0"}}).total(found); got != 0 {
		t.Errorf("those with a label that is not there are %v", got)
	}
	if got := (Series{Name: "io"}).by("op", found); got["read"] != 101 || got["write"] != 10 {
		t.Errorf("by operation: %v", got)
	}
}

// example is a result in which every cost is easy to tell.
func example(c *Case) *Result {
	r := &Result{Case: c, Events: [variants]float64{0, 100, 100, 100}, Turns: 15, Repeated: 1}
	// The second round is slower by 50 for all: no difference.
	r.PerEvent = [variants][]float64{{100, 150, 100}, {120, 170, 120}, {130, 180, 130}, {200, 250, 200}}
	r.Inside = [variants][]float64{nil, {40}, {100}, {340}}
	r.Programs = [variants]map[string]program{nil,
		{"a": {Runs: 200, Seconds: 4000e-9}},
		{"a": {Runs: 200, Seconds: 10000e-9}},
		{"b": {Runs: 300, Seconds: 34000e-9}},
	}
	return r
}

func TestCosts(t *testing.T) {
	r := example(&Case{})
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("the cost of an empty program", r.Cost(withEmpty), 20)
	near("the cost of ours", r.Cost(withOurs), 30)
	near("the cost of the textbook", r.Cost(withTextbook), 100)
	near("an empty run", r.PerRun(), 20)
	near("ours inside", r.Net(withOurs), 60)
	near("the textbook inside", r.Net(withTextbook), 280)
	near("a run of ours", r.NetRun(r.Programs[withOurs]["a"]), 30)
	r.Case.OnlyInside = true
	near("the cost of ours inside", r.Cost(withOurs), 60)
}

func TestAddPrograms(t *testing.T) {
	turn := map[string]program{"a": {Runs: 150, Seconds: 3000e-9}, "b": {Runs: 50, Seconds: 1500e-9}}
	r := Result{Case: &Case{}}
	if err := r.addPrograms(withOurs, turn, 100); err != nil {
		t.Fatal(err)
	}
	// Others made 50 events more.
	if got := r.Inside[withOurs][0]; math.Abs(got-30) > 1e-9 {
		t.Errorf("%v ns inside, want 30", got)
	}
	if err := r.addPrograms(withOurs, turn, 300); err == nil {
		t.Error("200 runs for 300 events are no error")
	}
	r.Case.Batched = true
	if err := r.addPrograms(withOurs, turn, 300); err != nil {
		t.Errorf("runs for several events each: %v", err)
	}
	if got := r.Inside[withOurs][1]; math.Abs(got-15) > 1e-9 {
		t.Errorf("%v ns inside where a run is for several events, want 15", got)
	}
	if err := r.addPrograms(withOurs, nil, 300); err == nil {
		t.Error("no runs at all are no error")
	}
}

func TestReport(t *testing.T) {
	c := Case{Name: "disk", Textbook: &collector.Spec{}, Event: "I/O", Text: "Reads.", Goals: []Goal{
		{Over: withTextbook, Limit: 0.4},
		{Over: withEmpty, Limit: 1.2, Why: "Because."},
		{Limit: 30},
	}}
	r := Report{
		Date:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Results: []*Result{example(&c)},
		Skipped: []Skip{{"tape", "no tape"}},
		Machine: Machine{CPUs: 2, LoadBefore: "2.50"},
		Exporter: &Exporter{
			Resident: 25e6, File: 11e6, ScrapeCPU: 5e5, Starts: []float64{2e8}, StartCPU: []float64{1e8},
			Scrapes: []ScrapeTimes{{Format: "text", Bytes: 9, Times: []float64{1e6, 2e6, 9e6}}, {Format: "gzip", Times: []float64{1e6}}},
		},
	}
	var page bytes.Buffer
	if err := r.write(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| disk: cost per I/O, of the textbook's ≤ 0.40× | 0.30× | met, 25 % below |",
		"| disk: cost per I/O, of the empty program's ≤ 1.20× | 1.50× | **missed**, 25 % above. Because. |",
		"| disk: cost per I/O ≤ 30 ns | 30 ns | met, 0 % below |",
		"after scrapes ≤ 20.0 MB | 25.0 MB | **missed**, 25 % above. 11.0 MB of it are pages of the program's file; the kernel",
		"first scrape ≤ 0.30 s | 0.20 s | met, 33 % below. CPU time 0.10 s; the machine was busy, load average 2.50 on 2 CPUs |",
		"over HTTP, text ≤ 3.00 ms | 2.00 ms | met, 33 % below. CPU time 0.50 ms; the machine was busy",
		"| disk, per I/O | 100.0 (100.0) | 120.0 (120.0) | 130.0 (130.0) | 200.0 (200.0) | 20 (20 to 20) | 30 (30 to 30) | 100 (100 to 100) | 1.50× | 0.30× |",
		"| disk, per I/O | 2.0, textbook 3.0 | 20 | 100 | 340 | 60 | 280 | 0.21× |",
		"| disk | `a` | 2.00 | 30 |",
		"- tape: no tape",
		"(1 of 15 here)",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(page.String())
	}
}

// TestCommittedPage finds texts that changed here after the committed page was written.
func TestCommittedPage(t *testing.T) {
	page, err := os.ReadFile("../docs/OVERHEAD.md")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for line := range strings.Lines(reportText) {
		// A line with an action depends on the run, and so does that of the cases not run.
		if !strings.Contains(line, "{{") && !strings.Contains(line, "could not run") {
			texts = append(texts, line)
		}
	}
	for _, c := range Cases() {
		texts = append(texts, "- **"+c.Name+"**: "+c.Text+"\n")
		for _, goal := range c.Goals {
			texts = append(texts, goal.Why)
		}
	}
	for _, text := range texts {
		if !strings.Contains(string(page), text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}
