// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// pages of the test's files; a prime, so that no read or folio fits evenly.
const pages = 4099

var pageSize = os.Getpagesize()

// file is a file whose pages are cached or not as the test says.
type file struct {
	*os.File
	t testing.TB
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

// resident returns how many of the file's pages are cached: mincore, the
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

// filesystem is a kind whose files have a page cache with a disk behind it.
type filesystem struct {
	name string
	mkfs []string
	// large are the kernels of the matrix that read ahead into folios of
	// several pages here; the others have one folio for a page.
	large []string
	// shown are the steps that docs/ACCURACY.md has.
	shown []string
	// shares says that a copy within it shares the blocks, and reads nothing.
	shares bool
}

var filesystems = []filesystem{
	{"ext4", []string{"mkfs.ext4", "-q", "-b", fmt.Sprint(pageSize)}, []string{"7.x"}, []string{
		"cold, 997 random preads, readahead", "the same 997 preads again", "cold, changing CPU with every read",
		"cold, sendfile", "warm, in turns with another file", "writing a new file", "reading what was written",
		"overwriting clean pages", "cold, reads of 65536 bytes", "warm, reads of 65536 bytes", "cold, mmap",
	}, false},
	// Without what older kernels do not know.
	{"xfs", []string{"mkfs.xfs", "-q", "-i", "nrext64=0"}, []string{"6.1", "6.12", "7.x"}, []string{
		"cold, 997 random preads, no readahead", "cold, reads of 65536 bytes", "warm, reads of 65536 bytes",
		"writing a new file", "overwriting clean pages",
	}, true},
	{"btrfs", []string{"mkfs.btrfs", "-q"}, []string{"7.x"}, []string{"cold, reads of 65536 bytes", "warm, reads of 65536 bytes"}, true},
}

// dir returns a folder there, on a loop device whose file is in memory: one on
// a disk would be cached as well. Nobody else uses the file system.
func (fs filesystem) dir(t *testing.T) string {
	t.Helper()
	dir := inMemory(t)
	image := filepath.Join(dir, "image")
	run(t, "truncate", "-s", imageSize, image)
	return fs.mount(t, dir, image)
}

// gated returns the same, on a disk whose reads the test can hold.
func (fs filesystem) gated(t *testing.T) (string, *gate) {
	t.Helper()
	dir := inMemory(t)
	g, image := newGate(t, dir)
	return fs.mount(t, dir, image), g
}

const imageSize = "512M"

func inMemory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, dir, "-t", "tmpfs", "tmpfs")
	return dir
}

// mount makes the file system in the image and mounts it in a folder of dir.
func (fs filesystem) mount(t *testing.T, dir, image string) string {
	t.Helper()
	root := filepath.Join(dir, "root")
	run(t, append(fs.mkfs, image)...)
	run(t, "mkdir", root)
	for _, module := range []string{"loop", fs.name} {
		_ = kerneltest.Modprobe(module) // or built in: mount says so
	}
	mount(t, root, "-o", "loop", image)
	return root
}

func mount(t *testing.T, at string, what ...string) {
	t.Helper()
	run(t, append(append([]string{"mount"}, what...), at)...)
	t.Cleanup(func() { run(t, "umount", at) })
}

// largestFolio returns how many pages it has, of those that are cached of the
// file: the flags of compound pages in /proc/kpageflags
// (Documentation/admin-guide/mm/pagemap.rst).
func (f *file) largestFolio() (largest int) {
	f.t.Helper()
	const present, numbers, head, tail = 1 << 63, 1<<55 - 1, 1 << 15, 1 << 16
	f.mapped(0, func(data []byte) {
		cached := make([]byte, len(data)/pageSize)
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, addr(data), uintptr(len(data)), addr(cached)); errno != 0 {
			f.t.Fatal("mincore:", errno)
		}
		// A fault on a cached page is not to bring in others.
		if err := unix.Madvise(data, unix.MADV_RANDOM); err != nil {
			f.t.Fatal("madvise:", err)
		}
		pagemap, flags := f.open("/proc/self/pagemap"), f.open("/proc/kpageflags")
		size, sum := 0, byte(0)
		for i := range cached {
			if cached[i]&1 == 0 {
				size = 0
				continue
			}
			entry, touches := uint64(0), 0
			for ; entry&present == 0; touches++ { // the kernel may move the page just then
				if touches == 1000 {
					f.t.Fatalf("page %d is not mapped after it was touched (%d)", i, sum)
				}
				sum += data[i*pageSize]
				entry = f.word(pagemap, int(addr(data))/pageSize+i)
			}
			switch flag := f.word(flags, int(entry&numbers)); {
			case flag&tail != 0:
				size++
			case flag&head != 0:
				size = 1
			default:
				size = 0
				largest = max(largest, 1)
			}
			largest = max(largest, size)
		}
	})
	return largest
}

func (f *file) open(path string) *os.File {
	f.t.Helper()
	opened, err := os.Open(path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { opened.Close() })
	return opened
}

// word returns one of a file of 64-bit words.
func (f *file) word(from *os.File, index int) uint64 {
	f.t.Helper()
	var word [8]byte
	if _, err := from.ReadAt(word[:], int64(8*index)); err != nil {
		f.t.Fatal(err)
	}
	return binary.NativeEndian.Uint64(word[:])
}

func run(t *testing.T, command ...string) {
	t.Helper()
	kerneltest.Command(t, command[0], command[1:]...)
}

// onThread runs f on a thread of its own and returns when that has ended: what
// the collector keeps of a thread's latest read is settled then.
func onThread(t testing.TB, f func()) {
	t.Helper()
	_, wait := startThread(t, f)
	wait()
}

// startThread runs f on a thread of its own, and returns its number and what
// waits for its end.
func startThread(t testing.TB, f func()) (tid int, wait func()) {
	t.Helper()
	started, done := make(chan int), make(chan struct{})
	var body func()
	body = func() {
		runtime.LockOSThread() // never unlocked: the thread ends
		if unix.Gettid() == unix.Getpid() {
			go body() // the first thread never ends
			select {}
		}
		// A signal may end sendfile before it has moved anything: it begins anew.
		kerneltest.BlockSignals(t)
		started <- unix.Gettid()
		f()
		close(done)
	}
	go body()
	tid = <-started
	return tid, func() {
		t.Helper()
		<-done
		task := fmt.Sprintf("/proc/self/task/%d", tid)
		for range 1000 {
			if _, err := os.Stat(task); errors.Is(err, os.ErrNotExist) {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatal("a thread does not end")
	}
}

// read reads a page.
func (f *file) read(page int) {
	f.t.Helper()
	if _, err := unix.Pread(int(f.Fd()), make([]byte, pageSize), int64(page*pageSize)); err != nil {
		f.t.Fatal(err)
	}
}

// readThere reads a page if it is cached, and says whether it was: the read
// waits for nothing.
func (f *file) readThere(page int) bool {
	f.t.Helper()
	n, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, pageSize)}, int64(page*pageSize), unix.RWF_NOWAIT)
	if err != nil && err != unix.EAGAIN {
		f.t.Fatal("preadv2:", err)
	}
	return n > 0
}

// ahead asks for pages to be brought in. Nobody waits for them.
func (f *file) ahead(page, count int) {
	f.t.Helper()
	if err := unix.Fadvise(int(f.Fd()), int64(page*pageSize), int64(count*pageSize), unix.FADV_WILLNEED); err != nil {
		f.t.Fatal("posix_fadvise:", err)
	}
}

// await waits until so many of the file's pages are cached and up to date.
func (f *file) await(pages int) {
	f.t.Helper()
	if !f.awaits(pages) {
		f.t.Fatalf("%s: %d pages are cached, want %d", f.Name(), f.resident(), pages)
	}
}

// awaits does the same, and reports whether they are.
func (f *file) awaits(pages int) bool {
	f.t.Helper()
	for range 1000 {
		if f.resident() == pages {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
