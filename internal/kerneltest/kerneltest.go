// SPDX-License-Identifier: Apache-2.0

// Package kerneltest helps the collectors' ground-truth tests: it runs a
// collector on the running kernel and reads its numbers.
package kerneltest

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// Open prepares the running kernel. Where it refuses BPF altogether the test
// is skipped with a message that starts with "no-bpf:", by which scripts/test
// names it; anything else that is missing is a failure.
func Open(t testing.TB) *kernel.Machine {
	t.Helper()
	machine, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if f := machine.Access(); f.Answer != kernel.Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
	return machine
}

// Run attaches one collector, with the named options on, until the test ends.
// A collector that does not run fails the test.
func Run(t testing.TB, spec collector.Spec, options ...string) *engine.Engine {
	t.Helper()
	return RunOn(t, Open(t), spec, options...)
}

// RunOn does what [Run] does, on a machine of the test's making.
func RunOn(t testing.TB, machine *kernel.Machine, spec collector.Spec, options ...string) *engine.Engine {
	t.Helper()
	cfg := engine.Config{
		Specs:   []collector.Spec{spec},
		Options: make(map[string]collector.Value),
		Buckets: metric.NewBuckets(metric.Microseconds),
		Machine: machine,
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, o := range options {
		cfg.Options[spec.Name+"."+o] = true
	}
	e := engine.New(cfg)
	t.Cleanup(e.Close)
	if s := e.States()[0]; s.Status != engine.Running {
		t.Fatalf("%s is %s: %s\n%s", s.Collector, s.Status, s.Reason, s.Detail)
	}
	return e
}

// WithRows returns the collector with tables of another size, where its option
// rows says how many rows of names they may have.
func WithRows(spec collector.Spec, rows int) collector.Spec {
	spec.Options = slices.Clone(spec.Options)
	for i := range spec.Options {
		if spec.Options[i].Name == "rows" {
			spec.Options[i].Default = rows
		}
	}
	return spec
}

// Numbers are the samples of one reading, by name and labels.
type Numbers map[string]metric.Sample

// Read takes the numbers of all families.
func Read(t testing.TB, e *engine.Engine) Numbers {
	t.Helper()
	families, err := e.Families(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make(Numbers)
	for _, f := range families {
		for _, s := range f.Samples {
			pairs := make([]string, len(f.Labels))
			for i, name := range f.Labels {
				pairs[i] = name + "=" + s.Labels[i]
			}
			key := f.Name + "{" + strings.Join(pairs, ",") + "}"
			if _, twice := numbers[key]; twice {
				t.Fatalf("%s is there twice", key)
			}
			numbers[key] = s
		}
	}
	return numbers
}

// Value returns the number of the counter or gauge, 0 if there is none: a row that
// was never counted is not there. Labels are "name=value", in the family's
// order.
func (n Numbers) Value(name string, labels ...string) float64 {
	return n[key(name, labels)].Value
}

// Hist returns the histogram's count and sum in nanoseconds.
func (n Numbers) Hist(name string, labels ...string) (count, sum uint64) {
	if h := n[key(name, labels)].Hist; h != nil {
		return h.Count(), h.Sum
	}
	return 0, 0
}

// Quantile returns a lower and an upper bound of the histogram's quantile, in
// nanoseconds, of what was observed since "before".
func (n Numbers) Quantile(before Numbers, q float64, name string, labels ...string) (lower, upper float64) {
	h := n[key(name, labels)].Hist
	if h == nil {
		return 0, 0
	}
	slots := slices.Clone(h.Slots)
	if old := before[key(name, labels)].Hist; old != nil {
		for i, c := range old.Slots {
			slots[i] -= c
		}
	}
	var total, seen uint64
	for _, c := range slots {
		total += c
	}
	for i, c := range slots {
		seen += c
		if c > 0 && float64(seen) >= q*float64(total) {
			return h.Buckets.SlotBounds(i)
		}
	}
	return 0, 0
}

// Missed returns how many runs of the collector's programs the kernel has left
// out since "before". A program does not run while it is interrupted on the
// same CPU; on kernels that let other tasks interrupt it (Linux 7.0 and newer
// at system calls) these miss their events, which are at most so many.
func (n Numbers) Missed(before Numbers) int {
	missed := 0.0
	for key, sample := range n {
		if strings.HasPrefix(key, "kernscope_program_recursion_misses_total{") {
			missed += sample.Value - before[key].Value
		}
	}
	return int(missed)
}

// Lost fails the test if the collector lost an event.
func (n Numbers) Lost(t testing.TB) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(n)) {
		if strings.HasPrefix(k, "kernscope_lost_events_total{") && n[k].Value != 0 {
			t.Errorf("%s = %v", k, n[k].Value)
		}
	}
}

func key(name string, labels []string) string {
	return fmt.Sprintf("%s{%s}", name, strings.Join(labels, ","))
}
