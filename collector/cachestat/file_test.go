// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pages of the test's files; a prime, so that no read or folio fits evenly.
const pages = 4099

var pageSize = os.Getpagesize()

// file is a file whose pages are cached or not as the test says.
type file struct {
	*os.File
	t *testing.T
}

// newFile makes a file of so many pages on the disk, none of them cached.
func newFile(t *testing.T, dir, name string, pages int) *file {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(bytes.Repeat([]byte{'x'}, pages*pageSize)); err != nil {
		t.Fatal(err)
	}
	out := &file{f, t}
	out.drop()
	return out
}

// drop writes the file to the disk and drops it from the page cache.
func (f *file) drop() {
	f.t.Helper()
	// Pages on their way to the disk stay; so do those that a CPU has just
	// put aside for the list of pages, for a moment.
	for range 100 {
		if err := f.Sync(); err != nil {
			f.t.Fatal(err)
		}
		f.advise(unix.FADV_DONTNEED)
		if f.resident() == 0 {
			f.advise(unix.FADV_NORMAL)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Fatalf("%s: %d pages stay in the page cache", f.Name(), f.resident())
}

func (f *file) advise(advice int) {
	f.t.Helper()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, advice); err != nil {
		f.t.Fatal("posix_fadvise:", err)
	}
}

// resident is how many of the file's pages are cached: mincore, the
// independent source. Linux 5.10 may add one beyond the file's end, to find
// that there is nothing to read into it.
func (f *file) resident() int {
	f.t.Helper()
	n := 0
	f.mapped(16*pageSize, func(data []byte) {
		in := make([]byte, (len(data)+pageSize-1)/pageSize)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, addr(data), uintptr(len(data)), addr(in))
		if errno != 0 {
			f.t.Fatal("mincore:", errno)
		}
		for _, b := range in {
			n += int(b & 1)
		}
	})
	return n
}

// mapped calls do with the file, and so much beyond its end, in memory;
// nothing is read by that alone.
func (f *file) mapped(beyond int, do func(data []byte)) {
	f.t.Helper()
	info, err := f.Stat()
	if err != nil {
		f.t.Fatal(err)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size())+beyond, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		f.t.Fatal("mmap:", err)
	}
	defer unix.Munmap(data)
	do(data)
}

// diskDir is a folder whose files have a page cache with a disk behind it: the
// test's own, or where that is in memory, one on a loop device.
func diskDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.EXT4_SUPER_MAGIC {
		return dir
	}
	// Not on an ext4 of the machine, whose cache the loop device would fill too.
	if fs.Type != unix.TMPFS_MAGIC {
		t.Fatalf("%s is neither on ext4 nor in memory", dir)
	}
	image, root := filepath.Join(dir, "image"), filepath.Join(dir, "root")
	run(t, "truncate", "-s", "256M", image)
	run(t, "mkfs.ext4", "-q", "-b", fmt.Sprint(pageSize), image)
	run(t, "mkdir", root)
	for _, module := range []string{"loop", "ext4"} {
		exec.Command("modprobe", module).Run() // or built in: mount says so
	}
	run(t, "mount", "-o", "loop", image, root)
	t.Cleanup(func() { run(t, "umount", "-l", root) })
	return root
}

func run(t *testing.T, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
}

// onThread runs f on a thread of its own and returns when that has ended: what
// the collector keeps of a thread's latest read is settled then.
func onThread(t *testing.T, f func()) {
	t.Helper()
	thread := make(chan int)
	var body func()
	body = func() {
		runtime.LockOSThread() // never unlocked: the thread ends
		if unix.Gettid() == unix.Getpid() {
			go body() // the first thread never ends
			select {}
		}
		f()
		thread <- unix.Gettid()
	}
	go body()
	task := fmt.Sprintf("/proc/self/task/%d", <-thread)
	for range 1000 {
		if _, err := os.Stat(task); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("a thread does not end")
}
