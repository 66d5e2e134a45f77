// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"math"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/kerneltest/compat"
)

// Numbers of i386.
const (
	compatGetpid   = 20  // writev for 64-bit programs
	compatGetppid  = 64  // semget for 64-bit programs
	compatSchedMax = 159 // adjtimex for 64-bit programs
)

// Calls of 32-bit programs have other numbers: they are counted under their
// own names, in a family of their own, and not timed.
func TestCompatCalls(t *testing.T) {
	if !compat.Supported() {
		kerneltest.VM(t, "this kernel runs no 32-bit programs")
		t.Fatal("a kernel of the matrix that runs no 32-bit programs")
	}
	const pids, ppids, maxes, unnamed, beyond = 1013, 1019, 1021, 17, 19
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			exactly(t, func(t *trial) {
				e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix), "errors", "latency")
				before := kerneltest.Read(t, e)
				for range pids {
					if got := compat.Call(compatGetpid); got != int32(os.Getpid()) {
						t.Fatalf("getpid of 32-bit programs is %d, not %d", got, os.Getpid())
					}
				}
				for number, times := range map[uint32]int{
					compatGetppid: ppids, compatSchedMax: maxes, 500: unnamed, 99_999: beyond / 2, math.MaxUint32: beyond - beyond/2,
				} {
					for range times {
						compat.Call(number)
					}
				}
				after := kerneltest.Read(t, e)
				const family = "ebpf_syscalls_compat_total"
				for name, want := range map[string]int{
					"getpid": pids, "getppid": ppids, "sched_get_priority_max": maxes, "sys_500": unnamed, "other": beyond,
				} {
					got := counted(before, after, family, "syscall="+name)
					t.Logf("%-24s made %4d, counted %4d", name, want, got)
					v.accuracy(t, family, "calls of 32-bit programs: "+name, got, kerneltest.Exactly(want))
				}
				for _, name := range []string{"semget", "adjtimex", "sched_get_priority_max"} {
					kerneltest.Check(t, name+" of 64-bit programs", counted(before, after, total, "syscall="+name), t.named(0, name))
					timed, _ := after.Hist(latency, "syscall="+name)
					kerneltest.Check(t, name+" of 64-bit programs, timed", int(timed), t.named(0, name))
				}
				if got, others := counted(before, after, total, "syscall=writev"), t.others.Of(unix.SYS_WRITEV); got >= pids+others {
					t.Errorf("%d calls counted as writev of 64-bit programs, others made %d", got, others)
				}
				// These fail, as a 64-bit program's would: with ENOSYS.
				kerneltest.Check(t, "errors of 64-bit programs", sum(before, after, errorsTotal+"{syscall=sys_500,"), t.calls(0, 500))
			})
		})
	}
}
