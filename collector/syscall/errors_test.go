// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const errorsTotal = "ebpf_syscall_errors_total"

// Errors are counted by what user space saw; success is none.
func TestErrorsByErrno(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			exactly(t, func(t *trial) {
				e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix), "errors")
				before := kerneltest.Read(t, e)
				made := makeCalls(calls)
				after := kerneltest.Read(t, e)
				want := make(map[string]int)
				for o, n := range made {
					if o.errno == 0 {
						continue
					}
					want[o.name] += n
					errno := unix.ErrnoName(o.errno)
					got := counted(before, after, errorsTotal, "syscall="+o.name, "errno="+errno)
					t.Logf("%-24s %-7s made %4d, counted %4d", o.name, errno, n, got)
					v.accuracy(t, errorsTotal, "calls of "+o.name+" that fail with "+errno, got, t.named(n, o.name))
				}
				if len(want) < 4 {
					t.Errorf("only %d calls failed: %v", len(want), want)
				}
				// Nothing of theirs under another errno.
				for o := range made {
					kerneltest.Check(t, o.name+": errors in all", sum(before, after, errorsTotal+"{syscall="+o.name+","), t.named(want[o.name], o.name))
				}
				after.Lost(t)
			})
		})
	}
}

// Errors that find the table full are counted under "other" and as lost. When it
// is read, what is in use from then on has rows again, and the sum over all rows
// stays that of a table with room.
func TestErrorTableFull(t *testing.T) {
	const rows = 8
	// With those of others, more than there are rows for.
	many := slices.Clone(calls)
	for _, number := range []uintptr{
		unix.SYS_TIMER_DELETE, unix.SYS_TIMER_GETTIME, unix.SYS_MQ_NOTIFY, unix.SYS_SCHED_GETSCHEDULER, unix.SYS_SCHED_GETPARAM, unix.SYS_IO_DESTROY,
	} {
		many = append(many, call{number: number, args: [3]uintptr{bad, bad, 0}, times: 11})
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			kerneltest.LeaveCgroups(t)
			spec := kerneltest.OnlySuffix(Spec(), v.suffix)
			roomy := kerneltest.Run(t, kerneltest.WithRows(spec, 10_000), "errors")
			tight := kerneltest.Run(t, kerneltest.WithRows(spec, rows), "errors")

			// Other tasks fail all the time, so the tight table's sum is
			// held between those of the other, read within and without.
			without := kerneltest.Read(t, roomy)
			before := kerneltest.Read(t, tight)
			within := kerneltest.Read(t, roomy)
			for range 5 {
				makeCalls(many)
				kerneltest.Read(t, tight)
			}
			withinAfter := kerneltest.Read(t, roomy)
			after := kerneltest.Read(t, tight)
			withoutAfter := kerneltest.Read(t, roomy)

			least := sum(within, withinAfter, errorsTotal)
			most := sum(without, withoutAfter, errorsTotal)
			got := sum(before, after, errorsTotal)
			t.Logf("errors: %d, table with room %d to %d", got, least, most)
			if got < least || got > most {
				t.Errorf("%d errors in all rows, want %d to %d", got, least, most)
			}
			series := 0
			for key := range after {
				if strings.HasPrefix(key, errorsTotal+"{") {
					series++
				}
			}
			if series > rows+2 {
				t.Errorf("%d series of a table for %d", series, rows)
			}
			other := after.Value(errorsTotal, "syscall=other", "errno=other")
			lost := 0.0
			for _, reason := range []string{"map_full", "share_full", "busy", "no_memory"} {
				lost += after.Value("kernscope_lost_events_total", "collector=syscall", "reason="+reason)
			}
			if other == 0 || other != lost {
				t.Errorf("%v errors under other, %v lost", other, lost)
			}
			if after.Value(errorsTotal, "syscall=gone", "errno=gone") == 0 {
				t.Error("no row was given up: the test shows nothing")
			}
		})
	}
}

// A user's filter can make any call return any errno. These fill half of the table
// at most, and other errors have rows all the same.
func TestErrnosOfAFilter(t *testing.T) {
	kerneltest.LeaveCgroups(t)
	const nobody, errnos, half = 65534, 4000, 480
	e := kerneltest.Run(t, Spec(), "errors")
	before := kerneltest.Read(t, e)
	var threads kerneltest.Threads
	threads.Go(t, -1, func() {
		if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); err != 0 {
			t.Errorf("becoming another user: %v", err)
			return
		}
		failWith(t, errnos)
	})
	threads.Wait()
	made := makeCalls(calls)
	after := kerneltest.Read(t, e)
	for o, n := range made {
		errno := unix.ErrnoName(o.errno)
		if got := counted(before, after, errorsTotal, "syscall="+o.name, "errno="+errno); o.errno != 0 && got < n {
			t.Errorf("%s: %s counted %d times, made %d times", o.name, errno, got, n)
		}
	}
	refused := counted(before, after, "kernscope_lost_events_total", "collector=syscall", "reason=share_full")
	if got := sum(before, after, errorsTotal+"{syscall="+filtered+","); got > half || got+refused < errnos {
		t.Errorf("%d errors of the filter by errno, %d found no share, %d made", got, refused, errnos)
	}
}

// sum is by how much all samples whose names start so grew together. What was
// given up meanwhile has moved to others.
func sum(before, after kerneltest.Numbers, prefix string) int {
	var total float64
	for key, s := range after {
		if strings.HasPrefix(key, prefix) {
			total += s.Value
		}
	}
	for key, s := range before {
		if strings.HasPrefix(key, prefix) {
			total -= s.Value
		}
	}
	return int(total)
}

// filtered is the call that failWith makes.
const filtered = "getpriority"

// failWith makes a call once with each errno up to the last, which a filter of
// seccomp takes from its second argument. The calling thread keeps the filter.
func failWith(t *testing.T, last int) {
	const (
		number, argument = 0, 16 + 8 // in struct seccomp_data
		filter           = 1         // SECCOMP_SET_MODE_FILTER
	)
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_GETPRIORITY, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: argument},
		{Code: unix.BPF_ALU | unix.BPF_OR | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO},
		{Code: unix.BPF_RET | unix.BPF_A},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Error("giving up privileges:", err)
		return
	}
	if _, _, err := unix.RawSyscall(unix.SYS_SECCOMP, filter, 0, uintptr(unsafe.Pointer(&program))); err != 0 {
		t.Error("setting a filter:", err)
		return
	}
	for errno := 1; errno <= last; errno++ {
		if _, _, err := unix.RawSyscall(unix.SYS_GETPRIORITY, 0, uintptr(errno), 0); int(err) != errno {
			t.Errorf("the call failed with %d, and not %d", err, errno)
			return
		}
	}
}
