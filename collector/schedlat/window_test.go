// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const latency = "ebpf_sched_runqueue_latency_microseconds"

// collectors run at the same time, each with another program.
type collectors struct {
	engines map[string]*engine.Engine
	start   census // once all were attached
}

// variants runs the collector once with each program that this kernel
// supports.
func variants(t *testing.T) collectors {
	t.Helper()
	machine := kerneltest.Open(t)
	obj, err := loadSchedlat()
	if err != nil {
		t.Fatal(err)
	}
	engines := make(map[string]*engine.Engine)
	for _, way := range Spec().Hooks[0].Ways {
		program := way.Programs[0]
		if machine.Program(obj.Programs[program], obj.Maps).Answer == kernel.Yes {
			engines[program] = kerneltest.RunOn(t, machine, only(program))
		}
	}
	return collectors{engines, takeCensus(t)}
}

func (c collectors) close() {
	for _, e := range c.engines {
		e.Close()
	}
}

// only is the collector with one program.
func only(program string) collector.Spec {
	return kerneltest.Only(Spec(), func(p string) bool { return p == program })
}

func observed(t *testing.T, e *engine.Engine) waited {
	t.Helper()
	count, sum := kerneltest.Read(t, e).Hist(latency)
	return waited{count, sum}
}

// A window is what happened between two readings.
type window struct {
	// observed by each collector.
	observed map[string]waited
	// least must have been observed: what the kernel says that tasks have
	// added between the two readings. Tasks that the collectors need not
	// have seen before are left out.
	least waited
	// most can have been observed: what the kernel says of all tasks, from
	// before the first reading until after the second.
	most waited
	// known says that no task has died unseen; else most is too little.
	known bool
	// quiet says that at neither reading a task was waiting. A waiting task
	// may have been moved to another CPU, and then the kernel has added a
	// part of its wait already, in front of the stint.
	quiet bool
}

// look opens a window around work.
//
// The kernel counts a stint as it begins and the collector as it ends, so
// stints that last across a reading would be on one side only. sweep ends all
// that have begun: what the first census has counted was observed before the
// first reading, and what was counted by the end of the work is observed by
// the second. So the bounds are exact and there is no tolerance.
func (c collectors) look(t *testing.T, work func()) window {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w := window{observed: make(map[string]waited)}
	const settle = 20 * time.Millisecond // threads that have done their work go to sleep

	time.Sleep(settle)
	first := takeCensus(t)
	sweep(t)
	before := make(map[string]waited)
	for name, e := range c.engines {
		before[name] = observed(t, e)
	}
	begin := takeCensus(t)
	work()
	time.Sleep(settle)
	end := takeCensus(t)
	sweep(t)
	for name, e := range c.engines {
		w.observed[name] = observed(t, e).minus(before[name])
	}
	w.least = end.least(begin, first, c.start)
	w.most, w.known = takeCensus(t).most(first)
	w.quiet = max(first.ready, end.ready) <= len(kerneltest.CPUs(t))
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

// check holds every program's numbers between the bounds.
func (w window) check(t *testing.T) {
	t.Helper()
	for name, got := range w.observed {
		t.Logf("%-23s %6d stints, %11d ns; at least %6d, %11d; at most %6d, %11d",
			name, got.stints, got.ns, w.least.stints, w.least.ns, w.most.stints, w.most.ns)
	}
	for _, complaint := range w.complaints() {
		t.Error(complaint)
	}
}

// The reasons why docs/ACCURACY.md has less than equal numbers.
const (
	readings = "The kernel's counters are read before and after ours, once inside and once outside, while other tasks run on."
	restless = "The machine was never quiet: each time, other tasks died or waited while the kernel's counters were read."
)

// recordCount adds how many waits the program that is taken here has observed
// to docs/ACCURACY.md.
func (w window) recordCount(t *testing.T, workload string) {
	t.Helper()
	row := kerneltest.Row{Metric: latency, Workload: workload + ": number of waits", Source: "schedstat of all tasks"}
	if !w.known {
		kerneltest.NoAccuracy(t, row, restless)
		return
	}
	kerneltest.Accuracy(t, row, w.taken().stints,
		kerneltest.Truth[uint64]{Least: w.least.stints, Most: w.most.stints, Why: readings})
}

// recordSum adds how long they were.
func (w window) recordSum(t *testing.T, workload string) {
	t.Helper()
	row := kerneltest.Row{Metric: latency, Workload: workload + ": sum of waits", Source: "schedstat of all tasks"}
	if !w.known || !w.quiet {
		kerneltest.NoAccuracy(t, row, restless)
		return
	}
	kerneltest.Accuracy(t, row, time.Duration(w.taken().ns),
		kerneltest.Truth[time.Duration]{Least: time.Duration(w.least.ns), Most: time.Duration(w.most.ns), Why: readings})
}

// taken is what the program has observed that is taken on this kernel.
func (w window) taken() (got waited) {
	for _, way := range slices.Backward(Spec().Hooks[0].Ways) {
		if g, ok := w.observed[way.Programs[0]]; ok {
			got = g
		}
	}
	return got
}

// complaints are the numbers that are not between the bounds.
func (w window) complaints() (all []string) {
	for name, got := range w.observed {
		if got.stints < w.least.stints || w.known && got.stints > w.most.stints {
			all = append(all, fmt.Sprintf("%s: %d stints, want %d to %d", name, got.stints, w.least.stints, w.most.stints))
		}
		if w.quiet && (got.ns < w.least.ns || w.known && got.ns > w.most.ns) {
			all = append(all, fmt.Sprintf("%s: %d ns, want %d to %d", name, got.ns, w.least.ns, w.most.ns))
		}
	}
	return all
}

// tight says that the bounds are close enough to tell right from wrong: the
// work was much more than the readings around it.
func (w window) tight() bool {
	return w.least.stints > w.most.stints*9/10 && w.least.ns > w.most.ns*19/20
}

// narrow looks again until the bounds hold and good says that the window shows
// what it is to show. Other tasks' business spoils windows. The machines of the
// matrix have little of it; another may be so busy that it spoils them all, and
// then the last window is tested against the bounds that hold. Another machine
// may also have tasks that its kernel shows to no program, so there a window
// that does not agree is looked at again; a mistake of ours is in all of them.
func narrow(t *testing.T, try func() window, good func(window) bool) window {
	t.Helper()
	tries := 6
	if kerneltest.Kernel() != "" {
		tries = 25
	}
	var w window
	var doubtless *window // the last that shows what it is to show
	for range tries {
		w = try()
		if !w.known || !w.quiet || !good(w) {
			continue
		}
		shown := w
		doubtless = &shown
		if kerneltest.Kernel() != "" || len(w.complaints()) == 0 {
			return w
		}
	}
	if doubtless != nil {
		return *doubtless
	}
	if kerneltest.Kernel() != "" {
		t.Fatalf("no window in which the test's threads prevail: %+v", w)
	}
	t.Logf("no window is beyond doubt; in the last, tasks died: %t, tasks waited: %t", !w.known, !w.quiet)
	return w
}
