// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// attempts returns how often a test looks for a window. In the matrix, emulated
// CPUs wait for each other; elsewhere, a machine that is busy stays so.
func attempts() int {
	if kerneltest.Kernel() != "" {
		return 25
	}
	return 10
}

// Threads compete for their CPUs and wake each other: woken, preempted and
// yielding, everything they wait is observed, by every variant of the program,
// once, to the nanosecond.
func TestAgreesWithTheKernel(t *testing.T) {
	running := variants(t)
	crowd := startWorkers(t, kerneltest.CPUs(t))
	round := 50 * time.Millisecond
	kerneltest.Conclusive(t, attempts(), func(a *kerneltest.Attempt) {
		w := running.look(a, func() { crowd.round(round) })
		round = min(2*round, 800*time.Millisecond) // for the next attempt
		w.check(a, w.tight())
		const workload = "threads that compete for all CPUs and wake each other"
		w.recordCount(a, workload)
		w.recordSum(a, workload)
	})
}

// All that a new task waits is its own, from its first stint on: these threads
// have hardly more than that one.
func TestTasksBornLater(t *testing.T) {
	const births = 500
	running := variants(t)
	kerneltest.Conclusive(t, attempts(), func(a *kerneltest.Attempt) {
		var newborns workers
		defer newborns.end()
		w := running.look(a, func() {
			for range births {
				newborns.start(a, -1, nil)
			}
		})
		w.check(a, w.most.stints-w.least.stints < births/2)
		const workload = "500 threads that hardly do more than begin"
		w.recordCount(a, workload)
		w.recordSum(a, workload)
	})
}

// What a task waited before it was first seen is not observed: neither all of
// it, nor as one long wait.
func TestTasksBornEarlier(t *testing.T) {
	kerneltest.Open(t) // before the work, which is in vain without BPF
	crowd := startWorkers(t, kerneltest.CPUs(t))
	crowd.round(300 * time.Millisecond)
	past := ofThreads(t, crowd.ids())
	t.Logf("waited before: %d stints, %d ns", past.stints, past.ns)
	kerneltest.Conclusive(t, attempts(), func(a *kerneltest.Attempt) {
		w := variants(a).look(a, func() { crowd.round(time.Millisecond) })
		w.check(a, past.ns > 2*w.most.ns && past.stints > 2*w.most.stints)
	})
}

// The idle task, which runs whenever nothing else does, is not observed.
func TestIdleIsNotObserved(t *testing.T) {
	running := variants(t)
	const naps = 200
	kerneltest.Conclusive(t, attempts(), func(a *kerneltest.Attempt) {
		w := running.look(a, func() {
			for range naps {
				time.Sleep(time.Millisecond)
			}
		})
		w.check(a, w.most.stints-w.least.stints < naps/2)
		w.recordCount(a, "idle CPUs that are woken 200 times")
	})
}

// The table holds no dead tasks: however many have lived, there are no more
// rows than tasks.
func TestTableForgetsTheDead(t *testing.T) {
	const births = 1009
	for _, program := range []string{"schedlat_switch_typed", "schedlat_switch_raw"} {
		t.Run(program, func(t *testing.T) {
			e := kerneltest.Run(t, only(program))
			rows := func() int {
				n := kerneltest.Read(t, e).Value("kernscope_map_entries", "collector=schedlat", "map="+schedlatMapSchedlatTable)
				return int(n)
			}
			start := observed(t, e)
			for range births {
				var thread kerneltest.Threads
				thread.Go(t, -1, func() { time.Sleep(time.Microsecond) })
				thread.Wait()
			}
			if got := observed(t, e).minus(start).stints; got < births {
				t.Fatalf("%d stints of %d threads", got, births)
			}
			// The last to die may not have left their CPU yet.
			kerneltest.Until(t, "no row is of a dead task", func() error {
				left, alive := rows(), len(kerneltest.Tasks(t))
				t.Logf("%d rows after %d threads, %d tasks alive", left, births, alive)
				if left > alive {
					return fmt.Errorf("%d rows for %d tasks", left, alive)
				}
				return nil
			})
			kerneltest.Read(t, e).Lost(t)
		})
	}
}

// Tasks that find the table full are counted as lost, and those in it are
// observed as ever.
func TestTableFull(t *testing.T) {
	for _, program := range []string{"schedlat_switch_typed", "schedlat_switch_raw"} {
		t.Run(program, func(t *testing.T) {
			spec := only(program)
			spec.Load = func() (*ebpf.CollectionSpec, error) {
				obj, err := loadSchedlat()
				if err == nil {
					obj.Maps[schedlatMapSchedlatTable].MaxEntries = 4
				}
				return obj, err
			}
			e := kerneltest.Run(t, spec)
			lost := func() uint64 {
				n := kerneltest.Read(t, e).Value("kernscope_lost_events_total", "collector=schedlat", "reason=task_not_remembered")
				return uint64(n)
			}
			running := collectors{map[string]*engine.Engine{program: e}, takeCensus(t)}
			crowd := startWorkers(t, kerneltest.CPUs(t))
			before := lost()
			w := running.look(t, func() { crowd.round(50 * time.Millisecond) })
			missed := lost() - before
			t.Logf("%d stints: %d observed, %d lost", w.least.stints, w.observed[program].stints, missed)
			if missed == 0 {
				t.Error("nothing was lost in a table of 4")
			}
			// What was not observed was lost, and the rest is as ever.
			if got := w.observed[program].stints + missed; got < w.least.stints {
				t.Errorf("%d stints observed and lost, want at least %d", got, w.least.stints)
			}
			w.least = waited{}
			w.checkBounds(t)
		})
	}
}

// Task storage is taken where it can be used, else the table.
func TestPreferredProgram(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	want := "schedlat_switch_storage"
	switch kerneltest.Kernel() {
	case "5.10", "6.1": // without, and by kmalloc
		want = "schedlat_switch_typed"
	}
	if got := e.States()[0].Hooks[0].Programs[0]; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}
