// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const latency = "ebpf_syscall_latency_microseconds"

// The sleeps that are timed, and how many of each.
const (
	short, long   = 3 * time.Millisecond, 40 * time.Millisecond
	shorts, longs = 31, 11
)

// sleep sleeps in a system call that nothing else sleeps in: it waits for none
// of the signals. It returns how long user space saw it take.
func sleep(t testing.TB, d time.Duration) time.Duration {
	t.Helper()
	// Go's own signals, by which it takes turns, would end the sleep.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		t.Fatal("blocking signals:", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	var signals uint64
	timeout := unix.NsecToTimespec(d.Nanoseconds())
	begin := time.Now()
	_, _, errno := unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT,
		uintptr(unsafe.Pointer(&signals)), 0, uintptr(unsafe.Pointer(&timeout)), unsafe.Sizeof(signals), 0, 0)
	took := time.Since(begin)
	if errno != unix.EAGAIN {
		t.Fatal("rt_sigtimedwait:", errno)
	}
	return took
}

// A call's latency is at least what was asked for and at most what user space
// saw, since it is measured between the two. So is the sum, and so are the
// quantiles, to the bucket.
func TestLatency(t *testing.T) {
	engines := make(map[string]*engine.Engine)
	for _, v := range variants {
		engines[v.name] = kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix), "latency")
	}
	// A row's memory may not be there the first time, as other calls want new
	// rows, too: such a call is counted as lost.
	for range 5 {
		sleep(t, short)
	}
	exactly(t, func(t *trial) {
		befores := make(map[string]kerneltest.Numbers)
		for name, e := range engines {
			befores[name] = kerneltest.Read(t, e)
		}
		var took [2][]time.Duration
		for range shorts {
			took[0] = append(took[0], sleep(t, short))
		}
		for range longs {
			took[1] = append(took[1], sleep(t, long))
		}
		for name, e := range engines {
			t.checkSleeps(name, befores[name], kerneltest.Read(t, e), took)
		}
	})
}

// checkSleeps holds the latencies that a variant observed to what user space
// saw of the short sleeps and of the long ones.
func (t *trial) checkSleeps(name string, before, after kerneltest.Numbers, took [2][]time.Duration) {
	t.Helper()
	var most time.Duration
	for _, d := range slices.Concat(took[:]...) {
		most += d
	}
	const least = shorts*short + longs*long
	v := variants[slices.IndexFunc(variants, func(v variant) bool { return v.name == name })]
	oldCount, oldSum := before.Hist(latency, "syscall=rt_sigtimedwait")
	count, sum := after.Hist(latency, "syscall=rt_sigtimedwait")
	count, sum = count-oldCount, sum-oldSum
	t.Logf("%s: %d calls, sum %v, asked for %v, user space saw %v", name, count, time.Duration(sum), least, most)
	const sleeps = "31 sleeps of 3 ms and 11 of 40 ms"
	v.accuracy(t, latency, sleeps+": number of calls", int(count), t.calls(shorts+longs, unix.SYS_RT_SIGTIMEDWAIT))
	if count != shorts+longs {
		return // the rest is of others' calls, too
	}
	truth := kerneltest.Truth[time.Duration]{
		Least: most, Most: most, Below: most - least,
		Why: "The program's clock counts the way into the kernel and back in. Never did we measure less than the time asked for.",
	}
	row := kerneltest.Row{Metric: latency, Workload: sleeps + ": sum of latencies", Source: "the program's clock around each call"}
	if v.suffix == "" {
		kerneltest.Accuracy(t, row, time.Duration(sum), truth)
	} else {
		kerneltest.Check(t, name+": sum", time.Duration(sum), truth)
	}
	// Half of the short ones are at or below this quantile, and half of the
	// long ones at or below that.
	for i, q := range []float64{shorts / 2. / (shorts + longs), (shorts + longs/2.) / (shorts + longs)} {
		low, high := after.Quantile(before, q, latency, "syscall=rt_sigtimedwait")
		asked, saw := []time.Duration{short, long}[i], slices.Max(took[i])
		if high < float64(asked) || low > float64(saw) {
			t.Errorf("%s: quantile %.2f in (%v, %v], want it between %v and %v",
				name, q, time.Duration(low), time.Duration(high), asked, saw)
		}
	}
}

// Every entry of a thread meets its own exit, on whatever CPU.
func TestLatencyOnAllCPUs(t *testing.T) {
	const threads, times = 3, 2003
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix), "latency")
			exactly(t, func(t *trial) { onAllCPUs(t, v, e, threads, times) })
		})
	}
}

func onAllCPUs(t *trial, v variant, e *engine.Engine, threads, times int) {
	before := kerneltest.Read(t, e)
	cpus := kerneltest.CPUs(t)
	var workers kerneltest.Threads
	for range threads * len(cpus) {
		workers.Go(t, -1, func() {
			for range times {
				unix.Syscall(unix.SYS_SCHED_GET_PRIORITY_MAX, 1, 0, 0)
			}
		})
	}
	workers.Wait()
	after := kerneltest.Read(t, e)
	old, _ := before.Hist(latency, "syscall=sched_get_priority_max")
	count, _ := after.Hist(latency, "syscall=sched_get_priority_max")
	got, want, missed := int(count-old), threads*times*len(cpus), after.Missed(before)
	// The table of threads can refuse under contention (its lock is
	// tried, not waited for); what is lost by that is counted.
	lost := 0
	for _, reason := range []string{"map_full", "unstamped"} {
		lost += counted(before, after, "kernscope_lost_events_total", "collector=syscall", "reason="+reason)
	}
	t.Logf("%d calls timed, made %d, the kernel missed %d, lost with others %d", got, want, missed, lost)
	v.accuracy(t, latency, "three threads for each CPU, 2003 times each sched_get_priority_max: number of calls", got,
		t.beside(kerneltest.Truth[int]{Least: want, Most: want, Below: missed + lost,
			Why: kerneltest.Recursion + " The table of threads' entries may be busy, which is counted as lost."}, unix.SYS_SCHED_GET_PRIORITY_MAX))
}

// A new task returns from the call that made it, which its parent entered.
// That is not a call whose entry was missed.
func TestNewTasksAreNotLost(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix), "latency")
			before := unstamped(t, e)
			// Each other task may return from a call once that it entered
			// before the programs were there.
			births := 307 + len(kerneltest.Tasks(t))
			for range births {
				var thread kerneltest.Threads
				thread.Go(t, -1, func() {})
				thread.Wait()
			}
			if got := unstamped(t, e) - before; got >= births {
				t.Errorf("%d calls without an entry, %d threads were born", got, births)
			}
		})
	}
}

// What seccomp refuses never enters: it is an error but no call, and it is not
// timed, which is counted where that can be known.
func TestRefusedCalls(t *testing.T) {
	const times = 53
	e := kerneltest.Run(t, Spec(), "errors", "latency")
	exactly(t, func(t *trial) {
		before, missed := kerneltest.Read(t, e), unstamped(t, e)
		var thread kerneltest.Threads
		thread.Go(t, -1, func() {
			if err := refuse(unix.SYS_SCHED_RR_GET_INTERVAL, unix.ENOANO); err != nil {
				t.Error("installing a seccomp filter:", err)
				return
			}
			for range times {
				if _, _, errno := unix.Syscall(unix.SYS_SCHED_RR_GET_INTERVAL, 0, 0, 0); errno != unix.ENOANO {
					t.Error("not refused:", errno)
				}
			}
		})
		thread.Wait()
		after := kerneltest.Read(t, e)
		const call = "syscall=sched_rr_get_interval"
		none := t.calls(0, unix.SYS_SCHED_RR_GET_INTERVAL)
		kerneltest.Check(t, "refused calls", counted(before, after, total, call), none)
		variants[0].accuracy(t, errorsTotal, "calls that seccomp refuses",
			counted(before, after, errorsTotal, call, "errno=ENOANO"), t.calls(times, unix.SYS_SCHED_RR_GET_INTERVAL))
		old, _ := before.Hist(latency, call)
		timed, _ := after.Hist(latency, call)
		kerneltest.Check(t, "refused calls, timed", int(timed-old), none)
		if program(t, e, "timing") != syscallProgSyscallStampStorage {
			return // whether the thread is younger than the programs is up to the runtime
		}
		if got := unstamped(t, e) - missed; got < times {
			t.Errorf("%d calls without an entry, %d were refused", got, times)
		}
	})
}

func unstamped(t testing.TB, e *engine.Engine) int {
	t.Helper()
	return int(kerneltest.Read(t, e).Value("kernscope_lost_events_total", "collector=syscall", "reason=unstamped"))
}

// refuse makes a system call fail for the calling thread.
func refuse(number uint32, errno unix.Errno) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: number},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return e
	}
	return nil
}
