// SPDX-License-Identifier: Apache-2.0

package memory

import (
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
	minor, major uint64        // getrusage's
	touching     time.Duration // time from before to after each touch of a page, summed
}

// as runs f on a thread of its own with the given name and returns what the
// kernel counted for the thread meanwhile.
func as(t *testing.T, name string, f func() time.Duration) usage {
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
		kerneltest.Rename(t, name)
		getrusage(t, &before)
		touching := f()
		getrusage(t, &after)
		kerneltest.Rename(t, "is done")
		done <- usage{uint64(after.Minflt - before.Minflt), uint64(after.Majflt - before.Majflt), touching}
	}()
	return <-done
}

func getrusage(t *testing.T, usage *unix.Rusage) {
	if err := unix.Getrusage(unix.RUSAGE_THREAD, usage); err != nil {
		t.Error("asking for a thread's faults:", err)
	}
}

// anonymous maps small pages that nobody has touched.
func anonymous(t *testing.T, pages int) []byte {
	t.Helper()
	return mapped(t, -1, pages, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, unix.MADV_NOHUGEPAGE)
}

func mapped(t *testing.T, fd, pages, prot, flags, advice int) []byte {
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
func file(t *testing.T, dir string, pages int) (fd int, m []byte) {
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
func forget(t *testing.T, fd int, m []byte) {
	t.Helper()
	if err := unix.Fsync(fd); err != nil {
		t.Fatal("writing back:", err)
	}
	// Pages that are mapped cannot be removed.
	if err := unix.Madvise(m, unix.MADV_DONTNEED); err != nil {
		t.Fatal("unmapping pages:", err)
	}
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal("removing pages from memory:", err)
	}
	resident := make([]byte, len(m)/os.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&resident[0])))
	if errno != 0 {
		t.Fatal("asking which pages are in memory:", errno)
	}
	for i, r := range resident {
		if r&1 != 0 {
			t.Fatalf("page %d is still in memory", i)
		}
	}
}

// disk is a folder on a file system whose pages come from a device.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if kerneltest.Kernel() == "" {
		return dir
	}
	// A guest's files are in its memory: it gets a file system of its own.
	kerneltest.Command(t, "modprobe", "loop")
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	kerneltest.Command(t, "truncate", "-s", "64M", image)
	kerneltest.Command(t, "mkfs.ext4", "-q", image)
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	kerneltest.Command(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	return mount
}

// write touches the pages and returns the time it took.
func write(m []byte) time.Duration {
	begin := time.Now()
	for i := 0; i < len(m); i += os.Getpagesize() {
		m[i] = 1
	}
	return time.Since(begin)
}

// read touches n pages, each once, in an order that defies prediction: 1021 is
// prime to the number of pages.
func read(m []byte, n int) time.Duration {
	var took time.Duration
	var sum byte
	pages := len(m) / os.Getpagesize()
	for i := range n {
		at := i * 1021 % pages * os.Getpagesize()
		begin := time.Now()
		sum += m[at]
		took += time.Since(begin)
	}
	runtime.KeepAlive(sum)
	return took
}
