// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const latency = "ebpf_sched_runqueue_latency_microseconds"

// collectors run at the same time, by program.
type collectors map[string]*engine.Engine

// variants runs the collector once with each program that this kernel
// supports.
func variants(t *testing.T) collectors {
	t.Helper()
	machine := kerneltest.Open(t)
	obj, err := loadSchedlat()
	if err != nil {
		t.Fatal(err)
	}
	running := make(collectors)
	for _, program := range Spec().Hooks[0].Programs {
		if machine.Program(obj.Programs[program], obj.Maps).Answer == kernel.Yes {
			running[program] = kerneltest.RunOn(t, machine, only(program))
		}
	}
	return running
}

func (c collectors) close() {
	for _, e := range c {
		e.Close()
	}
}

// only is the collector with one program.
func only(program string) collector.Spec {
	spec := Spec()
	spec.Hooks = slices.Clone(spec.Hooks)
	spec.Hooks[0].Programs = []string{program}
	return spec
}

func observed(t *testing.T, e *engine.Engine) waited {
	t.Helper()
	count, sum := kerneltest.Read(t, e).Hist(latency)
	return waited{count, sum}
}

// A window is what happened between two readings, from three sides.
type window struct {
	// observed by each engine.
	observed map[string]waited
	// own is the least that must have been observed: what the kernel's own
	// numbers say of the test's threads between the two readings.
	own waited
	// all is the most that can have been observed: what they say of all
	// tasks, from before the first reading until after the second.
	all waited
	// known says that no task has died unseen: else all is too little.
	known bool
	// quiet says that no task was waiting at the start. A waiting task may
	// have been moved from one CPU to another, and then the kernel has added
	// a part of the wait already: of the time waited, all is too little.
	quiet bool
}

// look opens a window around work. The threads, asked for after the work, must
// outlive it; those that are new count with all they ever did.
//
// The kernel counts a stint as it begins and the collector as it ends, so
// stints that last across a reading would be on one side only. sweep ends all
// that have begun: what the first census has counted was observed before the
// first reading, and what was counted of the threads by the end of the work is
// observed by the second. So the bounds are exact and there is no tolerance.
func (c collectors) look(t *testing.T, threads func() []int, work func()) window {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w := window{observed: make(map[string]waited)}

	first := takeCensus(t)
	sweep(t)
	before := make(map[string]waited)
	for name, e := range c {
		before[name] = observed(t, e)
	}
	own := ownThreads(t)
	work()
	w.own = since(t, own, threads())
	sweep(t)
	for name, e := range c {
		w.observed[name] = observed(t, e).minus(before[name])
	}
	w.all, w.known = takeCensus(t).since(first)
	w.quiet = first.ready <= len(kerneltest.CPUs(t))
	return w
}

// sweep runs on every CPU once, so that what was running there has left it.
func sweep(t *testing.T) {
	t.Helper()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal("asking for the CPUs:", err)
	}
	for _, cpu := range kerneltest.CPUs(t) {
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal("moving to a CPU:", err)
		}
	}
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		t.Fatal("returning to all CPUs:", err)
	}
}

// check holds every program's numbers between the bounds, save that of the
// threads' stints "first" need not have been observed.
func (w window) check(t *testing.T, first uint64) {
	t.Helper()
	for name, got := range w.observed {
		t.Logf("%-23s %6d stints, %11d ns; own threads %6d, %11d; all tasks %6d, %11d",
			name, got.stints, got.ns, w.own.stints, w.own.ns, w.all.stints, w.all.ns)
		if got.stints+first < w.own.stints || w.known && got.stints > w.all.stints {
			t.Errorf("%s: %d stints, want %d to %d", name, got.stints, w.own.stints-first, w.all.stints)
		}
		if first == 0 && got.ns < w.own.ns || w.known && w.quiet && got.ns > w.all.ns {
			t.Errorf("%s: %d ns, want %d to %d", name, got.ns, w.own.ns, w.all.ns)
		}
	}
}

// narrow looks again until the bounds hold and good says that the window shows
// what it is to show. Other tasks' business spoils windows; a busy machine may
// spoil them all, and then only the lower bounds are left. The machines of the
// matrix have no other business.
func narrow(t *testing.T, try func() window, good func(window) bool) window {
	t.Helper()
	var w window
	for range 40 {
		if w = try(); w.known && w.quiet && good(w) {
			return w
		}
	}
	if kerneltest.Kernel() != "" {
		t.Fatalf("no window in which the test's threads prevail: %+v", w)
	}
	t.Logf("this machine is too busy: tasks died: %t, tasks waited: %t", !w.known, !w.quiet)
	return w
}
