// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rareCall is the system call of the workload. It is as cheap as getpid, and nothing else on the
// machine calls it, so its count is exact.
const (
	rareCall     = unix.SYS_SCHED_GET_PRIORITY_MAX
	rareCallName = "sched_get_priority_max"
)

// syscalls makes one cheap system call again and again. The clock is CPU time.
type syscalls struct {
	made uint64
}

func newSyscalls() (workload, error) { return new(syscalls), nil }

func (s *syscalls) run(n int) (time.Duration, error) {
	s.made += uint64(n)
	return onOneCPU(func() error {
		for range n {
			unix.RawSyscall(rareCall, unix.SCHED_FIFO, 0, 0)
		}
		return nil
	})
}

func (s *syscalls) total() (uint64, error)    { return s.made, nil }
func (s *syscalls) labels() map[string]string { return map[string]string{"syscall": rareCallName} }
func (s *syscalls) close() error              { return nil }

// nullReads reads nothing from /dev/null, from a thread with a name that no other thread has. The
// clock is CPU time.
type nullReads struct {
	null *os.File
	made uint64
}

// nullReader is the name of the thread. By it, no read of another thread is counted.
const nullReader = "null-reader"

func newNullReads() (workload, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	return &nullReads{null: null}, nil
}

func (r *nullReads) run(n int) (time.Duration, error) {
	r.made += uint64(n)
	name, err := unix.BytePtrFromString(nullReader)
	if err != nil {
		return 0, err
	}
	var b [1]byte
	fd := r.null.Fd()
	return onOneCPU(func() error {
		// The thread ends with the run, so its name does, too.
		if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0); err != nil {
			return fmt.Errorf("naming the thread: %w", err)
		}
		for range n {
			unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b)), 1)
		}
		return nil
	})
}

func (r *nullReads) total() (uint64, error)    { return r.made, nil }
func (r *nullReads) labels() map[string]string { return map[string]string{"process": nullReader} }
func (r *nullReads) close() error              { return r.null.Close() }

// switches passes a byte back and forth between two threads on one CPU. Each pass is a wake-up and
// a context switch. The clock is CPU time.
type switches struct {
	ping, pong [2]int // pipes
}

func newSwitches() (workload, error) {
	s := &switches{}
	for _, pipe := range []*[2]int{&s.ping, &s.pong} {
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			return nil, fmt.Errorf("making a pipe: %w", err)
		}
	}
	return s, nil
}

func (s *switches) run(n int) (time.Duration, error) {
	// The last pass need not switch, so the workload makes one more.
	return onOneCPU(
		func() error { return pass(s.ping[1], s.pong[0], n/2+1) },
		func() error { return answer(s.ping[0], s.pong[1], n/2+1) },
	)
}

// total returns the kernel's count of context switches. It includes switches from idle CPUs, which
// schedlat does not count.
func (s *switches) total() (uint64, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(stat) {
		if count, ok := strings.CutPrefix(string(line), "ctxt "); ok {
			return strconv.ParseUint(strings.TrimSpace(count), 10, 64)
		}
	}
	return 0, errors.New("/proc/stat has no line ctxt")
}

func (s *switches) labels() map[string]string { return nil }

func (s *switches) close() error {
	for _, fd := range []int{s.ping[0], s.ping[1], s.pong[0], s.pong[1]} {
		unix.Close(fd)
	}
	return nil
}

// pass writes a byte to one pipe and waits for a byte on the other, n times. The calls are raw, so
// that Go's scheduler takes no part in them.
func pass(to, from, n int) error {
	for range n {
		if err := move(unix.SYS_WRITE, to); err != nil {
			return err
		}
		if err := move(unix.SYS_READ, from); err != nil {
			return err
		}
	}
	return nil
}

// answer waits for a byte on one pipe and writes a byte to the other, n times.
func answer(from, to, n int) error {
	for range n {
		if err := move(unix.SYS_READ, from); err != nil {
			return err
		}
		if err := move(unix.SYS_WRITE, to); err != nil {
			return err
		}
	}
	return nil
}

// move reads or writes one byte by a raw system call.
func move(call uintptr, fd int) error {
	var b [1]byte
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return fmt.Errorf("passing a byte through a pipe: %w", errno)
		case n != 1:
			return fmt.Errorf("passing a byte through a pipe: %d bytes", n)
		default:
			return nil
		}
	}
}
