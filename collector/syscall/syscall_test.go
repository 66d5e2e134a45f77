// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const total = "ebpf_syscalls_total"

// Every call is counted, under its name, however it ends.
func TestCallsAreCounted(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			exactly(t, func(t *trial) {
				e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix))
				before := kerneltest.Read(t, e)
				// docs/ACCURACY.md has these.
				shown := []string{"sched_rr_get_interval", "timer_getoverrun", "personality"}
				want := make(map[string]int)
				for o, n := range makeCalls(calls) {
					want[o.name] += n
				}
				after := kerneltest.Read(t, e)
				for name, n := range want {
					got := counted(before, after, total, "syscall="+name)
					t.Logf("%-24s made %5d, counted %5d", name, n, got)
					if slices.Contains(shown, name) {
						v.accuracy(t, total, "calls of "+name, got, t.named(n, name))
					} else {
						kerneltest.Check(t, name, got, t.named(n, name))
					}
				}
				after.Lost(t)
			})
		})
	}
}

// No call is lost or counted twice when all CPUs count the same one, several
// threads to a CPU. Two names alternate, to see counts that change hands.
func TestCallsOnAllCPUs(t *testing.T) {
	const threads, times = 3, 20011
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			exactly(t, func(t *trial) {
				e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix))
				before := kerneltest.Read(t, e)
				cpus := kerneltest.CPUs(t)
				var workers kerneltest.Threads
				for _, cpu := range cpus {
					for range threads {
						workers.Go(t, cpu, func() {
							for range times {
								unix.Syscall(unix.SYS_SCHED_GET_PRIORITY_MAX, 1, 0, 0)
								unix.Syscall(unix.SYS_SCHED_GET_PRIORITY_MIN, 1, 0, 0)
							}
						})
					}
				}
				workers.Wait()
				after := kerneltest.Read(t, e)
				want := threads * times * len(cpus)
				for name, number := range map[string]uint32{
					"sched_get_priority_max": unix.SYS_SCHED_GET_PRIORITY_MAX, "sched_get_priority_min": unix.SYS_SCHED_GET_PRIORITY_MIN,
				} {
					got := counted(before, after, total, "syscall="+name)
					missed := after.Missed(before)
					t.Logf("%s: %d threads on %d CPUs made %d, counted %d, missed with others %d", name, threads*len(cpus), len(cpus), want, got, missed)
					v.accuracy(t, total, "three threads on each CPU, 20,011 times each "+name, got,
						t.beside(kerneltest.Truth[int]{Least: want, Most: want, Below: missed, Why: kerneltest.Recursion}, number))
				}
				after.Lost(t)
			})
		})
	}
}

// Numbers without a name read sys_N as long as they fit into the table, else
// "other".
func TestUnknownNumbers(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			exactly(t, func(t *trial) {
				e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix))
				before := kerneltest.Read(t, e)
				const inside, last, outside, huge = 503, 509, 521, 523
				makeCalls([]call{
					{number: 500, times: inside}, {number: 511, times: last},
					{number: 512, times: outside}, {number: 100_000, times: huge},
				})
				after := kerneltest.Read(t, e)
				for name, want := range map[string]kerneltest.Truth[int]{
					"sys_500": t.calls(inside, 500), "sys_511": t.calls(last, 511), "other": t.calls(outside+huge, 512, 100_000),
				} {
					got := counted(before, after, total, "syscall="+name)
					v.accuracy(t, total, "calls of numbers without a name: "+name, got, want)
				}
			})
		})
	}
}

// The typed program is taken wherever the kernel publishes its types, which
// all kernels of the matrix do.
func TestPreferredProgram(t *testing.T) {
	e := kerneltest.Run(t, Spec(), "errors", "latency")
	want := map[string]string{
		"entry": "syscall_enter_typed", "error": "syscall_error_typed",
		"timing": "syscall_stamp_storage",
	}
	if kerneltest.Kernel() == "5.10" { // task storage is younger
		want["timing"] = "syscall_stamp_raw"
	}
	for hook, name := range want {
		if got := program(t, e, hook); got != name {
			t.Errorf("%s is observed by %s, want %s", hook, got, name)
		}
	}
}
