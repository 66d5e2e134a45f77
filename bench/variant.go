// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// attached is a variant that is attached.
type attached struct {
	engine *engine.Engine // nil for the variant without
	counts *Series        // in which the variant counts the workload's events; nil if it does not count
}

// attach attaches a variant by the same engine that the exporter uses.
func (t *trial) attach(v variant) (*attached, error) {
	spec, counts := t.c.Spec, t.c.Counted.with(t.load.labels())
	switch v {
	case without:
		return &attached{}, nil
	case withEmpty:
		spec, counts = emptied(spec, t.taken), nil
	case withTextbook:
		spec, counts = *t.c.Textbook, t.c.TextbookCounted.with(t.load.labels())
	}
	e := newEngine(t.machine, []collector.Spec{spec}, t.c.Options)
	s := e.States()[0]
	if s.Status == engine.Running {
		return &attached{engine: e, counts: counts}, nil
	}
	e.Close()
	if s.Status == engine.Unsupported {
		return nil, fmt.Errorf("%w: %s", errUnsupported, s.Reason)
	}
	return nil, fmt.Errorf("%s is %s: %s", s.Collector, s.Status, s.Reason)
}

// errUnsupported says that this machine lacks what a collector needs.
var errUnsupported = errors.New("not supported by this machine")

// newEngine attaches collectors, with the same options switched on in all of them.
func newEngine(machine *kernel.Machine, specs []collector.Spec, options []string) *engine.Engine {
	on := make(map[string]collector.Value)
	for _, s := range specs {
		for _, o := range options {
			on[s.Name+"."+o] = true
		}
	}
	return engine.New(engine.Config{
		Specs:   specs,
		Options: on,
		Buckets: metric.NewBuckets(metric.Microseconds),
		Machine: machine,
		Logger:  slog.New(slog.DiscardHandler),
	})
}

// close detaches the variant.
func (a *attached) close() {
	if a.engine != nil {
		a.engine.Close()
	}
}

// reading is what a variant has counted so far.
type reading struct {
	events uint64 // counted by the variant itself
	// programs are by name, from the kernel, while BPF statistics are on.
	programs map[string]program
}

// program is how often a program ran and for how long, in all or in a turn.
type program struct {
	Runs, Seconds float64
}

// read reads what the variant has counted.
func (a *attached) read(ctx context.Context) (reading, error) {
	r := reading{programs: make(map[string]program)}
	if a.engine == nil {
		return r, nil
	}
	families, err := a.engine.Families(ctx, nil)
	if err != nil {
		return r, err
	}
	if a.counts != nil {
		r.events = uint64(a.counts.total(families))
	}
	runs := Series{Name: "kernscope_program_runs_total"}.by("program", families)
	seconds := Series{Name: "kernscope_program_run_seconds_total"}.by("program", families)
	for name := range runs {
		r.programs[name] = program{Runs: runs[name], Seconds: seconds[name]}
	}
	return r, nil
}

// emptied returns a collector whose hooks are those that the given one takes on this machine. Its
// programs only return, and it serves no metrics.
func emptied(spec collector.Spec, taken []string) collector.Spec {
	load := spec.Load
	spec.Load = func() (*ebpf.CollectionSpec, error) {
		obj, err := load()
		if err != nil {
			return nil, err
		}
		for _, p := range obj.Programs {
			p.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
		}
		return obj, nil
	}
	spec.Hooks, spec.Tables, spec.Metrics = nil, nil, nil
	for _, p := range taken {
		spec.Hooks = append(spec.Hooks, collector.Hook{Name: p, Ways: collector.By(p)})
	}
	return spec
}
