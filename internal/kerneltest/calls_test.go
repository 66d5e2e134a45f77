// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestWatchCalls checks that calls of other processes are counted, and those of
// this one are not.
func TestWatchCalls(t *testing.T) {
	calls := WatchCalls(t)
	if calls == nil {
		t.Fatal("this process does not know its own number")
	}
	const number, own = unix.SYS_MQ_GETSETATTR, 10_000
	before, forks := calls.Of(number), calls.Of(unix.SYS_EXECVE)
	for range own {
		unix.RawSyscall(number, ^uintptr(0), 0, 0)
	}
	if n := calls.Of(number) - before; n >= own {
		t.Errorf("%d of this process's calls count as others'", n)
	}
	const processes = 5
	for range processes {
		Command(t, "cat", "/dev/null")
	}
	// They execute the program themselves.
	if n := calls.Of(unix.SYS_EXECVE) - forks; n < processes {
		t.Errorf("%d programs executed, want at least %d", n, processes)
	}
	if calls.Of(1<<20) != calls.Of(mostCalls) {
		t.Error("numbers beyond all do not count as one")
	}
}
