// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// usage is what a thread of a known workload reports of itself.
type usage struct {
	minor, major uint64 // getrusage's
	touches
	waited time.Duration // for a CPU, by schedstat
}

// touches are the times from before to after each touch of a page: their sum,
// and the longest.
type touches struct{ sum, longest time.Duration }

// as runs f on a thread of its own with the given name and returns what the
// kernel counted for the thread meanwhile.
func as(t testing.TB, name string, f func() touches) usage {
	t.Helper()
	done := make(chan usage)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		defer close(done)
		// A signal ends the wait for a page: the fault begins anew, finds the
		// page in memory and is a minor one to getrusage, although a page was
		// fetched.
		kerneltest.BlockSignals(t)
		var before, after unix.Rusage
		// Once for the pages that these calls themselves touch.
		kerneltest.Rename(t, "warming up")
		getrusage(t, &before)
		getrusage(t, &after)
		begin, err1 := kerneltest.ReadTurns("/proc/thread-self/schedstat")
		kerneltest.Rename(t, name)
		getrusage(t, &before)
		touched := f()
		getrusage(t, &after)
		kerneltest.Rename(t, "is done")
		end, err2 := kerneltest.ReadTurns("/proc/thread-self/schedstat")
		if err := errors.Join(err1, err2); err != nil {
			t.Error("asking for a thread's turns:", err)
		}
		done <- usage{
			uint64(after.Minflt - before.Minflt), uint64(after.Majflt - before.Majflt),
			touched, time.Duration(end.Waited - begin.Waited),
		}
	}()
	return <-done
}

func getrusage(t testing.TB, usage *unix.Rusage) {
	if err := unix.Getrusage(unix.RUSAGE_THREAD, usage); err != nil {
		t.Error("asking for a thread's faults:", err)
	}
}

// anonymous maps small pages that nobody has touched.
func anonymous(t testing.TB, pages int) []byte {
	t.Helper()
	return mapped(t, -1, pages, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, unix.MADV_NOHUGEPAGE)
}

func mapped(t testing.TB, fd, pages, prot, flags, advice int) []byte {
	t.Helper()
	m, err := unix.Mmap(fd, 0, pages*os.Getpagesize(), prot, flags)
	if err != nil {
		t.Fatal("mapping pages:", err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	if err := unix.Madvise(m, advice); err != nil {
		t.Fatal("advising on pages:", err)
	}
	return m
}

// file makes a file of so many pages and maps it without read-ahead.
func file(t testing.TB, dir string, pages int) (fd int, m []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "pages"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(make([]byte, pages*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	return int(f.Fd()), mapped(t, int(f.Fd()), pages, unix.PROT_READ, unix.MAP_SHARED, unix.MADV_RANDOM)
}

// forget writes the file's pages back and removes them from memory.
func forget(t testing.TB, fd int, m []byte) {
	t.Helper()
	if err := unix.Fsync(fd); err != nil {
		t.Fatal("writing back:", err)
	}
	// Pages that are mapped cannot be removed.
	if err := unix.Madvise(m, unix.MADV_DONTNEED); err != nil {
		t.Fatal("unmapping pages:", err)
	}
	resident := make([]byte, len(m)/os.Getpagesize())
	// Pages that a CPU has just put aside for the list of pages stay for a moment.
	kerneltest.Until(t, "no page is in memory", func() error {
		if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("removing pages from memory: %w", err)
		}
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&resident[0])))
		if errno != 0 {
			return fmt.Errorf("asking which pages are in memory: %w", errno)
		}
		for i, r := range resident {
			if r&1 != 0 {
				return fmt.Errorf("page %d is", i)
			}
		}
		return nil
	})
}

// disk returns a folder on a file system whose pages come from a device.
func disk(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if kerneltest.Kernel() == "" {
		return dir
	}
	// A guest's files are in its memory: it gets a file system of its own.
	return kerneltest.FileSystem(t, 64<<20, "mkfs.ext4", "-q")
}

// write touches the pages, all at once.
func write(m []byte) touches {
	begin := time.Now()
	for i := 0; i < len(m); i += os.Getpagesize() {
		m[i] = 1
	}
	took := time.Since(begin)
	return touches{took, took}
}

// read touches n pages, each once, in an order that defies prediction: 1021 is
// prime to the number of pages.
func read(m []byte, n int) (all touches) {
	var sum byte
	pages := len(m) / os.Getpagesize()
	for i := range n {
		at := i * 1021 % pages * os.Getpagesize()
		begin := time.Now()
		sum += m[at]
		took := time.Since(begin)
		all.sum += took
		all.longest = max(all.longest, took)
	}
	runtime.KeepAlive(sum)
	return all
}
