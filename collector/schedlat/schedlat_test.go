// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// Threads compete for their CPUs and wake each other: woken, preempted and
// yielding, everything they wait is observed, by every variant of the program,
// once, to the nanosecond.
//
// Other tasks make the bounds wider, for they wait as well. Where there are
// such, only the number of stints is held close: others' stints are long.
func TestAgreesWithTheKernel(t *testing.T) {
	running := variants(t)
	crowd := startWorkers(t, kerneltest.CPUs(t))
	round := 50 * time.Millisecond
	w := narrow(t, func() window {
		return running.look(t, crowd.ids, func() { crowd.round(round) })
	}, func(w window) bool {
		if w.own.stints > w.all.stints*3/4 && (w.own.ns > w.all.ns*3/4 || kerneltest.Kernel() == "") {
			return true
		}
		round = min(2*round, time.Second) // the readings are in the window, too
		return false
	})
	w.check(t, 0)
}

// All that a new task waits is its own, from its first stint on.
func TestTasksBornLater(t *testing.T) {
	running := variants(t)
	cpus := kerneltest.CPUs(t)
	w := narrow(t, func() window {
		old := ownThreads(t)
		var crowd *workers
		w := running.look(t, func() []int {
			// Go uses idle threads up before it makes new ones.
			return slices.DeleteFunc(crowd.ids(), func(tid int) bool { _, ok := old[tid]; return ok })
		}, func() {
			crowd = startWorkers(t, cpus)
			crowd.round(5 * time.Millisecond)
		})
		crowd.end()
		return w
	}, func(w window) bool { return w.own.stints > w.all.stints/2 })
	w.check(t, 0)
}

// What a task waited before it was first seen is not observed: neither all of
// it, nor as one long wait.
func TestTasksBornEarlier(t *testing.T) {
	kerneltest.Open(t) // before the work, which is in vain without BPF
	crowd := startWorkers(t, kerneltest.CPUs(t))
	threads := uint64(len(crowd.ids()))
	crowd.round(300 * time.Millisecond)
	past := since(t, nil, crowd.ids())
	w := narrow(t, func() window {
		running := variants(t)
		defer running.close()
		return running.look(t, crowd.ids, func() { crowd.round(time.Millisecond) })
	}, func(w window) bool { return past.ns > 2*w.all.ns && past.stints > 2*w.all.stints })
	t.Logf("waited before: %d stints, %d ns", past.stints, past.ns)
	w.check(t, threads) // each one's first stint is only remembered
}

// The idle task, which runs whenever nothing else does, is not observed.
func TestIdleIsNotObserved(t *testing.T) {
	running := variants(t)
	const naps = 100
	w := narrow(t, func() window {
		return running.look(t, func() []int { return nil }, func() {
			for range naps {
				time.Sleep(time.Millisecond)
			}
		})
	}, func(w window) bool { return w.all.stints >= naps })
	w.check(t, 0)
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
			var left, alive int
			for range 1000 {
				if left, alive = rows(), len(tasks(t)); left <= alive {
					break
				}
				time.Sleep(time.Millisecond)
			}
			t.Logf("%d rows after %d threads, %d tasks alive", left, births, alive)
			if left > alive {
				t.Errorf("%d rows for %d tasks", left, alive)
			}
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
			crowd := startWorkers(t, kerneltest.CPUs(t))
			crowd.round(time.Millisecond) // whoever finds room is remembered now
			before := lost()
			first := takeCensus(t)
			sweep(t)
			start, old := observed(t, e), ownThreads(t)
			crowd.round(50 * time.Millisecond)
			own := since(t, old, crowd.ids())
			sweep(t)
			got, missed := observed(t, e).minus(start), lost()-before
			t.Logf("%d stints of own threads: %d observed of all tasks, %d lost", own.stints, got.stints, missed)
			if missed == 0 {
				t.Error("nothing was lost in a table of 4")
			}
			if got.stints+missed < own.stints {
				t.Errorf("%d stints observed and %d lost, own threads had %d", got.stints, missed, own.stints)
			}
			if all, known := takeCensus(t).since(first); known && (got.stints > all.stints || got.ns > all.ns) {
				t.Errorf("observed %+v, all tasks waited %+v", got, all)
			}
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
	if got := e.States()[0].Hooks[0].Program; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}
