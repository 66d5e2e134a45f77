// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Panic is what [Holder.Do] panics with when its function panicked on the
// raised thread.
type Panic struct {
	// Value is the function's.
	Value any
	// Stack is that of the function.
	Stack []byte
}

// Error returns the value and the stack of the function that panicked.
func (p *Panic) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Unwrap returns the value if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// ending is how a function ended.
type ending struct {
	err      error
	panicked *Panic
	// exited means that the function ended its goroutine (runtime.Goexit).
	exited bool
}

// onThread runs f on a thread whose effective set alone is raised by the given
// capabilities, and returns when f has ended and the thread is lowered again.
//
// Each call takes a thread of its own. A function that never returns therefore
// keeps no other from running, and a thread that cannot be lowered can be given
// up: its goroutine ends without unlocking it, upon which Go ends the thread
// (runtime.LockOSThread). Go cannot end the main thread, so that one is never
// raised.
//
// What the kernel calls a thread's credentials are inherited by the threads
// that it clones. Go never clones a locked thread: newm in runtime/proc.go, on a
// thread with lockedExt != 0, hands the clone to templateThread, which is never
// locked and so never raised. The thread is locked before it is raised, and
// until it is lowered.
//
// The system call is made directly: libcap's SetProc acts on all threads. As
// SetProc leaves every thread the same permitted set, any thread can be raised.
func onThread(raise []cap.Value, f func() error) (end ending) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// As long as this goroutine occupies the main thread, the next
			// gets another.
			end = onThread(raise, f)
			runtime.UnlockOSThread()
			return
		}
		end.raised(raise, f)
	}()
	<-done
	return end
}

// raised runs f on the calling thread, which is locked. It unlocks the thread
// unless that remains raised.
func (e *ending) raised(raise []cap.Value, f func() error) {
	before, err := capget()
	if err != nil {
		e.err = fmt.Errorf("reading a thread's capabilities: %w", err)
		runtime.UnlockOSThread()
		return
	}
	during := before
	for _, v := range raise {
		during[v/32].Effective |= 1 << (v % 32)
	}
	if err := capset(during); err != nil {
		e.err = fmt.Errorf("raising %s: %w", list(raise), err)
		runtime.UnlockOSThread()
		return
	}
	defer func() {
		if err := capset(before); err != nil {
			e.err = errors.Join(e.err, fmt.Errorf("lowering %s, so the thread is ended: %w", list(raise), err))
			return
		}
		runtime.UnlockOSThread()
	}()
	e.run(f)
}

// run notes how f ends, and returns unless f ends the goroutine.
func (e *ending) run(f func() error) {
	e.exited = true
	defer func() {
		if v := recover(); v != nil {
			e.panicked, e.exited = &Panic{v, debug.Stack()}, false
		}
	}()
	e.err = f()
	e.exited = false
}

// capset gives the calling thread these sets.
func capset(sets [2]unix.CapUserData) error {
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0])
}

// capget returns the sets of the calling thread.
func capget() (sets [2]unix.CapUserData, err error) {
	err = unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0])
	return sets, err
}
