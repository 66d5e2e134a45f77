// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"math"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const (
	latency   = "ebpf_sched_runqueue_latency_microseconds"
	throttled = "ebpf_sched_throttled_latency_microseconds"
)

// collectors run at the same time, each with another program.
type collectors struct {
	engines map[string]*engine.Engine
	start   census // once all were attached
}

// variants runs the collector once with each program that this kernel
// supports.
func variants(t testing.TB) collectors {
	t.Helper()
	machine := kerneltest.Open(t)
	obj, err := loadSchedlat()
	if err != nil {
		t.Fatal(err)
	}
	engines := make(map[string]*engine.Engine)
	for _, way := range Spec().Hooks[0].Ways {
		program := way.Programs[0]
		if attach.Possible(machine, obj.Programs[program], obj).Answer == kernel.Yes {
			engines[program] = kerneltest.RunOn(t, machine, only(program))
		}
	}
	return collectors{engines, takeCensus(t)}
}

// taken is the program that is taken on this kernel.
func (c collectors) taken() string {
	for _, way := range Spec().Hooks[0].Ways {
		if c.engines[way.Programs[0]] != nil {
			return way.Programs[0]
		}
	}
	return ""
}

// only is the collector with one program.
func only(program string) collector.Spec {
	return kerneltest.Only(Spec(), func(p string) bool { return p == program })
}

// observed is what the kernel's own sums do not tell apart.
func observed(t testing.TB, e *engine.Engine) waited {
	t.Helper()
	n := kerneltest.Read(t, e)
	return of(n, latency).plus(of(n, throttled))
}

// of is what one of the histograms has.
func of(n kerneltest.Numbers, histogram string) waited {
	count, sum := n.Hist(histogram)
	return waited{count, sum}
}

// A window is what happened between two readings.
type window struct {
	// observed by each collector.
	observed map[string]waited
	taken    string // the collector that is taken on this kernel
	// least must have been observed: what the kernel says that tasks have
	// added between the two readings. Tasks that the collectors need not
	// have seen before are left out, and those that the kernel hides from
	// programs.
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
func (c collectors) look(t testing.TB, work func()) window {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w := window{observed: make(map[string]waited), taken: c.taken()}
	watch := kerneltest.WatchHidden(t)
	settle(t)
	first := takeCensus(t)
	sweep(t)
	before := make(map[string]waited)
	for name, e := range c.engines {
		before[name] = observed(t, e)
	}
	begin := takeCensus(t)
	work()
	settle(t)
	end := takeCensus(t)
	sweep(t)
	for name, e := range c.engines {
		w.observed[name] = observed(t, e).minus(before[name])
	}
	w.least = end.least(begin, first, c.start)
	w.most, w.known = takeCensus(t).most(first)
	w.quiet = max(first.ready, end.ready) <= len(kerneltest.CPUs(t))
	hidden := watch.Hidden()
	w.least.stints -= min(w.least.stints, hidden.Stints)
	w.least.ns -= min(w.least.ns, hidden.Waited)
	return w
}

// settle waits until threads that have done their work sleep, and until no task
// waits for a CPU, if that happens soon.
func settle(t testing.TB) {
	t.Helper()
	for range 50 {
		time.Sleep(20 * time.Millisecond)
		if _, ready := taskCounts(t); ready <= len(kerneltest.CPUs(t)) {
			return
		}
	}
}

// sweep runs on every CPU once, so that what was running there has left it.
func sweep(t testing.TB) {
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

// readings is why docs/ACCURACY.md has less than equal numbers.
const readings = "The kernel's counters are read before and after ours, once inside and once outside, while other tasks run on."

// check holds every program's numbers between the bounds that hold, and voids
// the attempt if not all do, or the window does not show what it is to show.
// Other tasks' business spoils windows.
func (w window) check(a *kerneltest.Attempt, good bool) {
	a.Helper()
	w.checkBounds(a)
	switch {
	case !w.known:
		a.Void("other tasks died unseen")
	case !w.quiet:
		a.Void("other tasks waited for a CPU as the kernel's counters were read")
	case !good:
		a.Void("other tasks had too much of the window: %d to %d stints, %d to %d ns", w.least.stints, w.most.stints, w.least.ns, w.most.ns)
	}
}

// checkBounds holds every program's numbers between the bounds that hold.
func (w window) checkBounds(t testing.TB) {
	t.Helper()
	for name, got := range w.observed {
		t.Logf("%-23s %6d stints, %11d ns; at least %6d, %11d; at most %6d, %11d",
			name, got.stints, got.ns, w.least.stints, w.least.ns, w.most.stints, w.most.ns)
		stints, waits := w.stints(), w.waits()
		if !w.known {
			stints.Most, waits.Most = math.MaxUint64, math.MaxInt64
		}
		kerneltest.Check(t, name+": stints", got.stints, stints)
		if w.quiet {
			kerneltest.Check(t, name+": waited", time.Duration(got.ns), waits)
		}
	}
}

// stints are the right numbers of stints.
func (w window) stints() kerneltest.Truth[uint64] {
	return kerneltest.Truth[uint64]{Least: w.least.stints, Most: w.most.stints, Why: readings}
}

// waits are the right sums of what was waited.
func (w window) waits() kerneltest.Truth[time.Duration] {
	return kerneltest.Truth[time.Duration]{Least: time.Duration(w.least.ns), Most: time.Duration(w.most.ns), Why: readings}
}

// recordCount adds how many waits the program that is taken here has observed
// to docs/ACCURACY.md.
func (w window) recordCount(t testing.TB, workload string) {
	t.Helper()
	kerneltest.Accuracy(t, kerneltest.Row{Metric: latency, Workload: workload + ": number of waits", Source: "schedstat of all tasks"},
		w.observed[w.taken].stints, w.stints())
}

// recordSum adds how long they were.
func (w window) recordSum(t testing.TB, workload string) {
	t.Helper()
	kerneltest.Accuracy(t, kerneltest.Row{Metric: latency, Workload: workload + ": sum of waits", Source: "schedstat of all tasks"},
		time.Duration(w.observed[w.taken].ns), w.waits())
}

// tight says that the bounds are close enough to tell right from wrong: the
// work was much more than the readings around it.
func (w window) tight() bool {
	return w.least.stints > w.most.stints*9/10 && w.least.ns > w.most.ns*19/20
}
