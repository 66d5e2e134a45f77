// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/label"
)

// variant is a choice of programs.
type variant struct{ name, suffix string }

// The programs for every kernel of the matrix, and the ones that only older
// kernels or kernels without type information of their own would take.
var variants = []variant{
	{"preferred", ""},
	{"raw", "_raw"},
}

// accuracy compares a number of calls with what the test made. Of the preferred
// programs, docs/ACCURACY.md says what came out.
func (v variant) accuracy(t testing.TB, metric, workload string, got int, truth kerneltest.Truth[int]) {
	t.Helper()
	row := kerneltest.Row{Metric: metric, Workload: workload, Source: "the test's own count"}
	if v.suffix == "" {
		kerneltest.Accuracy(t, row, got, truth)
	} else {
		kerneltest.Check(t, metric+", "+workload, got, truth)
	}
}

// trial is an attempt at a comparison of exact numbers, while it is known how
// often others make the same calls.
type trial struct {
	*kerneltest.Attempt
	others *kerneltest.Calls
}

// exactly runs a comparison of exact numbers.
func exactly(t *testing.T, compare func(t *trial)) {
	t.Helper()
	kerneltest.Conclusive(t, 6, func(a *kerneltest.Attempt) {
		compare(&trial{a, kerneltest.WatchCalls(a)})
	})
}

// calls is the exact number of calls, beside those that others made of these
// numbers.
func (t *trial) calls(made int, numbers ...uint32) kerneltest.Truth[int] {
	t.Helper()
	return t.beside(kerneltest.Exactly(made), numbers...)
}

// named is [trial.calls] of a call's name.
func (t *trial) named(made int, name string) kerneltest.Truth[int] {
	t.Helper()
	number, ok := label.SyscallNumber(name)
	if !ok {
		t.Fatalf("no call has the name %s", name)
	}
	return t.calls(made, number)
}

func (t *trial) beside(truth kerneltest.Truth[int], numbers ...uint32) kerneltest.Truth[int] {
	t.Helper()
	more := 0
	for _, n := range numbers {
		more += t.others.Of(n)
	}
	return truth.Beside(0, more, fmt.Sprintf("others made %d such calls", more))
}

// program is what observes the hook.
func program(t testing.TB, e *engine.Engine, hook string) string {
	t.Helper()
	for _, h := range e.States()[0].Hooks {
		if h.Name == hook {
			return h.Programs[0]
		}
	}
	t.Fatalf("no hook %q", hook)
	return ""
}

// A call to make some number of times. Nothing else on a machine makes these,
// as a rule: what is counted must be exactly what the test made.
type call struct {
	number uintptr
	args   [3]uintptr
	times  int
}

// bad is -1 where a file, a timer or a process is expected.
const bad = ^uintptr(0)

// The numbers of times are prime, so that no other cause gives them.
var calls = []call{
	{number: unix.SYS_SCHED_GET_PRIORITY_MAX, args: [3]uintptr{1}, times: 1009},
	{number: unix.SYS_SCHED_RR_GET_INTERVAL, args: [3]uintptr{bad}, times: 997},      // EINVAL
	{number: unix.SYS_SCHED_RR_GET_INTERVAL, args: [3]uintptr{1 << 30}, times: 13},   // ESRCH
	{number: unix.SYS_TIMER_GETOVERRUN, args: [3]uintptr{1 << 20}, times: 983},       // EINVAL
	{number: unix.SYS_MQ_GETSETATTR, args: [3]uintptr{bad}, times: 101},              // EBADF
	{number: unix.SYS_PERSONALITY, args: [3]uintptr{0xffffffff}, times: 7},           // only asks
	{number: unix.SYS_IO_CANCEL, args: [3]uintptr{0, 0, 0}, times: 89},               // EFAULT or EINVAL
	{number: unix.SYS_SCHED_GET_PRIORITY_MIN, args: [3]uintptr{1 << 20}, times: 719}, // EINVAL
}

// outcome is a call as user space saw it; errno is 0 for success.
type outcome struct {
	name  string
	errno unix.Errno
}

// makeCalls makes the calls and returns how many ended how.
func makeCalls(calls []call) map[outcome]int {
	seen := make(map[outcome]int)
	for _, c := range calls {
		name := syscallName(c.number)
		for range c.times {
			_, _, errno := unix.Syscall(c.number, c.args[0], c.args[1], c.args[2])
			seen[outcome{name, errno}]++
		}
	}
	return seen
}

func syscallName(number uintptr) string {
	return label.Syscall().Label([]byte{byte(number), byte(number >> 8), 0, 0})
}

// counted is by how much a counter of one system call grew.
func counted(before, after kerneltest.Numbers, family string, labels ...string) int {
	return int(after.Value(family, labels...) - before.Value(family, labels...))
}
