// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is a system call that a process makes so many times.
type Call struct {
	Times  int
	Number uintptr
	Args   [3]uintptr
}

// Forker is the name of the threads that fork in [Storm], and of a process
// until it has a name of its own.
const Forker = "forker"

// Storm forks so many processes, two at a time where there are two CPUs. Each
// takes a name of its own, the prefix and a number, makes the calls and exits.
// All have exited when it returns.
func Storm(t testing.TB, processes int, prefix string, calls ...Call) {
	t.Helper()
	// A fork copies the tables of all pages in use.
	debug.FreeOSMemory()
	var next atomic.Int64
	var threads Threads
	cpus := CPUs(t)
	for _, cpu := range cpus[:min(2, len(cpus))] {
		threads.Go(t, cpu, func() {
			BlockSignals(t) // Go's handlers cannot run in a child
			Rename(t, Forker)
			all := append([]Call{{1, unix.SYS_PRCTL, [3]uintptr{unix.PR_SET_NAME}}}, calls...)
			all = append(all, Call{1, unix.SYS_EXIT_GROUP, [3]uintptr{}})
			for i := next.Add(1); i <= int64(processes) && !t.Failed(); i = next.Add(1) {
				var name [16]byte
				copy(name[:15], fmt.Append(nil, prefix, i-1))
				pid, err := fork(&name, all)
				if err != 0 {
					t.Errorf("forking %s: %v", name, err)
					return
				}
				var status unix.WaitStatus
				if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil || status != 0 {
					t.Errorf("%s ended with %#x: %v", name, status, err)
				}
			}
		})
	}
	threads.Wait()
}

// fork starts a process that makes the calls, the first of which names it and
// the last of which ends it. It has one thread and so nothing of Go's runtime:
// its stack cannot grow, nothing can be allocated. All of its code has run once
// it has its name: whatever pages it touches from then on, its calls do.
//
//go:nosplit
//go:noinline
//go:norace
func fork(name *[16]byte, calls []Call) (pid uintptr, err unix.Errno) {
	calls[0].Args[1] = uintptr(unsafe.Pointer(name)) // here, where the stack that it may be on does not move
	pid, _, err = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 || err != 0 {
		return pid, err
	}
	for i := 0; ; i++ {
		call := &calls[i]
		for range call.Times {
			unix.RawSyscall(call.Number, call.Args[0], call.Args[1], call.Args[2])
		}
	}
}
