// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CPUs returns the CPUs that this process may run on.
func CPUs(t testing.TB) []int {
	t.Helper()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal("asking for the CPUs:", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < allowed.Count(); cpu++ {
		if allowed.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// Threads is a set of threads that a test started.
type Threads struct{ group sync.WaitGroup }

// Go runs f on a thread of its own, which is bound to the CPU, unless that is
// negative, and ends with f.
func (s *Threads) Go(t testing.TB, cpu int, f func()) {
	s.group.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if cpu >= 0 {
			if err := bind(cpu); err != nil {
				t.Errorf("binding a thread to CPU %d: %v", cpu, err)
				return
			}
		}
		f()
	})
}

// Wait returns when all functions have. Their threads are about to end.
func (s *Threads) Wait() { s.group.Wait() }

// bind binds the calling thread to a CPU.
func bind(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// Rename gives the calling thread a name.
func Rename(t testing.TB, name string) {
	raw := append([]byte(name), 0)
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&raw[0])), 0, 0, 0); err != nil {
		t.Errorf("naming the thread: %v", err)
	}
}

// Own returns a name for threads and processes of this test alone, with the prefix: a
// test that counts by name may run twice at the same time. The prefix may have
// seven letters.
func Own(prefix string) string { return fmt.Sprintf("%s%d", prefix, os.Getpid()) }

// As runs f on a thread of its own with that name, and waits for it.
func As(t testing.TB, name string, f func()) {
	t.Helper()
	var threads Threads
	threads.Go(t, -1, func() {
		Rename(t, name)
		f()
	})
	threads.Wait()
}

// ReadAs makes so many system calls that read, by a thread with that name. They
// read nothing.
func ReadAs(t testing.TB, name string, n int) {
	t.Helper()
	As(t, name, func() {
		for range n {
			unix.RawSyscall(unix.SYS_READ, ^uintptr(0), 0, 0)
		}
	})
}

// Fault has a thread of this name on the CPU touch so many new pages.
func Fault(t testing.TB, name string, cpu, pages int) {
	t.Helper()
	size := pages * os.Getpagesize()
	fresh, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(fresh)
	if err := unix.Madvise(fresh, unix.MADV_NOHUGEPAGE); err != nil {
		t.Fatal(err)
	}
	var threads Threads
	threads.Go(t, cpu, func() {
		Rename(t, name)
		for at := 0; at < size; at += os.Getpagesize() {
			fresh[at] = 1
		}
	})
	threads.Wait()
}

// BlockSignals keeps signals, of which Go's scheduler sends some, from the
// calling thread until it ends.
func BlockSignals(t testing.TB) {
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, nil); err != nil {
		t.Errorf("blocking signals: %v", err)
	}
}
