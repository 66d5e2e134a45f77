// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// place is a cgroup and what is to be read for it.
type place struct{ path, cgroup, container string }

// root is this process's own part of a hierarchy.
func root() string { return fmt.Sprintf("kernscope-test-%d.slice", os.Getpid()) }

func places() []place {
	id := strings.Repeat("c0ffee00", 8)
	const pod = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6a3f0c5e_93d1_4f0e_8b6d_1f2e3d4c5b6a.slice"
	return []place{
		{"system.slice/nginx.service", "nginx.service", ""},
		{"user.slice/user-1000.slice/session-3.scope", "session-3.scope", ""},
		{"system.slice/docker-" + id + ".scope", "docker-c0ffee00c0ff.scope", "c0ffee00c0ff"},
		{pod + "/cri-containerd-" + id + ".scope", "pod6a3f0c5e-93d1-4f0e-8b6d-1f2e3d4c5b6a", "c0ffee00c0ff"},
		{"lxc.payload.web/system.slice/cron.service", "cron.service", "web"},
		{"jobs/42", root() + "/jobs/42", ""},
	}
}

// of is the sum of a process's operations, in all cgroups.
func of(n kerneltest.Numbers, process string) (sum float64) {
	for key, sample := range n {
		if strings.HasPrefix(key, operations+"{process="+process+",") {
			sum += sample.Value
		}
	}
	return sum
}

// TestCgroups makes prime numbers of each operation in cgroups of all
// hierarchies that the collector looks at. Then the cgroups are removed: their
// series go away, and nothing that they counted does.
func TestCgroups(t *testing.T) {
	for name, spec := range variants() {
		// What is in version 2 shows where it is nowhere else.
		for _, controller := range []string{"pids", "memory", ""} {
			t.Run(name+"/"+controller, func(t *testing.T) { testCgroups(t, spec, controller, name == "preferred") })
		}
	}
}

// testCgroups tests one hierarchy, which docs/ACCURACY.md shows if it is of
// version 2.
func testCgroups(t *testing.T, spec collector.Spec, controller string, show bool) {
	h, ok := openHierarchy(t, controller)
	if !ok {
		if kerneltest.Kernel() != "" && controller != "memory" {
			t.Fatal("no such hierarchy")
		}
		t.Log("no such hierarchy")
		return
	}
	for _, other := range []string{"pids", "memory"} {
		if other == controller {
			break
		}
		if at, ok := openHierarchy(t, other); ok && kerneltest.Kernel() == "" {
			at.leave(t, other)
		}
	}
	h.leave(t, controller)
	calls := map[string]int{"open": unix.SYS_OPENAT, "read": unix.SYS_PREAD64, "write": unix.SYS_PWRITE64}
	primesName := kerneltest.Own("primes")
	primes := map[string]int{"open": 101, "read": 211, "write": 307}

	e := kerneltest.Run(t, spec, "cgroups")
	before := kerneltest.Read(t, e)
	for i, p := range places() {
		path := root() + "/" + p.path
		h.make(t, path)
		h.enter(t, path)
		kerneltest.As(t, primesName, func() {
			for operation, call := range calls {
				for range primes[operation] * (i + 1) {
					unix.RawSyscall6(uintptr(call), invalid, 0, 0, 0, 0, 0)
				}
			}
		})
		h.enter(t, "/")
	}
	live := untilNone(t, e, func(key string) bool {
		return strings.HasPrefix(key, operations+"{process="+primesName+",") && strings.Contains(key, "cgroup=id:")
	})
	missed := live.Missed(before)
	sums := make(map[string]float64)
	made := 0
	for i, p := range places() {
		for operation, n := range primes {
			made += n * (i + 1)
			got := live.Value(operations, "process="+primesName, "operation="+operation, "cgroup="+p.cgroup, "container="+p.container)
			sums[operation] += got
			if want := n * (i + 1); int(got) > want || int(got) < want-missed {
				t.Errorf("%s in %s: %v counted, %d made, %d missed", operation, p.path, got, want, missed)
			}
		}
	}
	if all := of(live, primesName); all != sums["open"]+sums["read"]+sums["write"] {
		t.Errorf("%v operations in all cgroups, %v in these", all, sums)
	}
	live.Lost(t)
	if show && controller == "" {
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: operations, Workload: "opening, reading and writing in cgroups, all found under their names", Source: "the test's own count",
		}, int(sums["open"]+sums["read"]+sums["write"]), kerneltest.Truth[int]{Least: made, Most: made, Below: missed, Why: kerneltest.Recursion})
	}

	h.remove(t, root())
	dead := untilNone(t, e, func(key string) bool {
		return strings.HasPrefix(key, operations+"{process="+primesName+",") && !strings.Contains(key, "cgroup=gone,")
	})
	for operation, want := range sums {
		if got := dead.Value(operations, "process="+primesName, "operation="+operation, "cgroup=gone", "container=gone"); got != want {
			t.Errorf("%s: %v among the gone, %v before", operation, got, want)
		}
	}
	entries := func(n kerneltest.Numbers) float64 {
		return n.Value("kernscope_map_entries", "collector=fileops", "map=fileops_cgroup_calls")
	}
	// Natively other programs come meanwhile, and have rows of their own.
	if freed, want := entries(live)-entries(dead), float64((len(places())-1)*len(primes)); kerneltest.Kernel() != "" && freed < want {
		t.Errorf("%v rows became free, want %v", freed, want)
	}
}

// untilNone reads until there is no such sample: cgroups are not looked for at
// every reading if these come fast.
func untilNone(t *testing.T, e *engine.Engine, such func(key string) bool) kerneltest.Numbers {
	t.Helper()
	return kerneltest.Eventually(t, time.Minute, "samples do not go", func() (kerneltest.Numbers, error) {
		n := kerneltest.Read(t, e)
		var left []string
		for key := range n {
			if such(key) {
				left = append(left, key)
			}
		}
		if len(left) > 0 {
			return nil, fmt.Errorf("%q", left)
		}
		return n, nil
	})
}

// TestStormOfCgroups goes through two thousand cgroups that come and go, while
// another thread counts in them all the time. Where they are looked after often
// enough, every operation is there, by name; with little room for them, it is
// there or among the others.
func TestStormOfCgroups(t *testing.T) {
	for _, tc := range []struct {
		name         string
		spec         collector.Spec
		cgroups, cap int
		every        int // cgroups from look to look
		own          bool
	}{
		{"as shipped", Spec(), 2000, 3840 + 6, 100, true},
		{"small", kerneltest.WithRows(Spec(), 8), 200, 64 + 6, 40, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			controller := "pids"
			h, ok := openHierarchy(t, controller)
			if !ok {
				controller = ""
				if h, ok = openHierarchy(t, controller); !ok {
					t.Fatal("no hierarchy of cgroups")
				}
			}
			h.leave(t, controller)
			h.make(t, root())
			e := kerneltest.Run(t, tc.spec, "cgroups")
			before := kerneltest.Read(t, e)
			steadyName, stormName := kerneltest.Own("steady"), kerneltest.Own("storm")
			steady, stop := counting(t, steadyName)
			total, made := 0.0, 0
			look := func() kerneltest.Numbers {
				n := kerneltest.Read(t, e)
				sum, series := 0.0, 0
				for key, sample := range n {
					if strings.HasPrefix(key, operations+"{") {
						sum += sample.Value
						series++
					}
				}
				if sum < total || series > tc.cap {
					t.Errorf("%v operations after %v in %d series", sum, total, series)
				}
				total = sum
				return n
			}
			for i := range tc.cgroups {
				path := fmt.Sprintf("%s/storm-%d.scope", root(), i)
				h.make(t, path)
				h.enter(t, path)
				kerneltest.As(t, stormName, func() {
					for range 3 {
						unix.RawSyscall6(unix.SYS_OPENAT, invalid, 0, 0, 0, 0, 0)
						made++
					}
				})
				h.enter(t, root())
				h.remove(t, path)
				if i%tc.every == 0 {
					look()
				}
			}
			stop()
			h.enter(t, "/")
			h.remove(t, root())
			untilNone(t, e, func(key string) bool { return strings.Contains(key, "storm-") })
			n := look()
			missed := n.Missed(before)
			lost := n.Value("kernscope_lost_events_total", "collector=fileops", "reason=map_full") +
				n.Value("kernscope_lost_events_total", "collector=fileops", "reason=share_full")
			got, want := of(n, stormName)+of(n, steadyName), float64(made+int(steady.Load()))
			least := want - float64(missed)
			if !tc.own {
				// Of the others, and of those that were given up, some are other
				// processes'.
				got += of(n, "other") + of(n, "gone")
				want += lost + of(n, "gone")
			} else if lost != 0 {
				t.Errorf("%v lost", lost)
			}
			if got < least || got > want {
				t.Errorf("%v counted, %v made, %d missed, %v lost", got, want, missed, lost)
			}
			if tc.own && of(n, stormName) < float64(made-missed) || !tc.own && lost == 0 {
				t.Errorf("%v of the storm's %d by name, %v lost", of(n, stormName), made, lost)
			}
		})
	}
}

// counting opens in a thread of a name until stop returns, and says how often.
func counting(t *testing.T, name string) (n *atomic.Int64, stop func()) {
	n = new(atomic.Int64)
	var stopped atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		kerneltest.Rename(t, name)
		for !stopped.Load() {
			for range 20 {
				unix.RawSyscall6(unix.SYS_OPENAT, invalid, 0, 0, 0, 0, 0)
				n.Add(1)
			}
			runtime.Gosched()
		}
	}()
	return n, func() { stopped.Store(true); <-done }
}
