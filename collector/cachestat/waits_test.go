// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// What a call reads, in pages: the one it has to wait for is neither its first
// nor its last, and a pipe does not hold all.
const (
	waitsFrom, waitsTo = 5, 45
	waitsPages         = 61
)

// call is a system call, or several, that read a range.
type call struct {
	name string
	do   func(f *file) error
	// unknown says that the call does not tell where it began to read: by the
	// tracepoint, what it got before the page it waited for is not seen.
	unknown bool
	// short says that it ends where it would have to wait.
	short bool
}

// all does a call until the range is read.
func all(read func(at *int64, size int) (int, error)) error {
	at := int64(waitsFrom * pageSize)
	for at < int64(waitsTo*pageSize) {
		before := at
		n, err := read(&at, waitsTo*pageSize-int(at))
		if err != nil || n <= 0 {
			return fmt.Errorf("reading at %d: %d bytes: %w", at, n, err)
		}
		at = before + int64(n)
	}
	return nil
}

// seek moves the file's own position to where the range begins.
func seek(f *file) error {
	_, err := unix.Seek(int(f.Fd()), int64(waitsFrom*pageSize), unix.SEEK_SET)
	return err
}

// throughPipe reads with a pipe between, which is emptied after each call.
func throughPipe(f *file, move func(to int, at *int64, size int) (int64, error)) error {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return err
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	buf := make([]byte, (waitsTo-waitsFrom)*pageSize)
	return all(func(at *int64, size int) (int, error) {
		n, err := move(pipe[1], at, size)
		for left := int(n); err == nil && left > 0; {
			var n int
			n, err = unix.Read(pipe[0], buf)
			left -= n
		}
		return int(n), err
	})
}

func reads(t *testing.T, dir string, fs filesystem) []call {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	to, err := os.Create(filepath.Join(dir, "copy"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	const size = waitsTo - waitsFrom
	buf := make([]byte, size*pageSize)
	list := [][]byte{buf[:100], buf[100 : 9*pageSize], buf[9*pageSize:]}
	fd := func(f *file) int { return int(f.Fd()) }
	whole := func(n int, err error) error {
		if err == nil && n != len(buf) {
			return fmt.Errorf("%d bytes, want %d", n, len(buf))
		}
		return err
	}
	at := int64(waitsFrom * pageSize)
	calls := []call{
		{name: "read", do: func(f *file) error { return whole(unix.Read(fd(f), buf)) }},
		{name: "readv", do: func(f *file) error { return whole(unix.Readv(fd(f), list)) }},
		{name: "pread", do: func(f *file) error { return whole(unix.Pread(fd(f), buf, at)) }},
		{name: "preadv", do: func(f *file) error { return whole(unix.Preadv(fd(f), list, at)) }},
		{name: "preadv2", do: func(f *file) error { return whole(unix.Preadv2(fd(f), list, at, unix.RWF_HIPRI)) }},
		{name: "preadv2 at the file's position", do: func(f *file) error { return whole(unix.Preadv2(fd(f), list, -1, 0)) }},
		{name: "sendfile", do: func(f *file) error {
			return all(func(at *int64, size int) (int, error) { return unix.Sendfile(int(null.Fd()), fd(f), at, size) })
		}},
		{name: "sendfile at the file's position", do: func(f *file) error {
			return all(func(_ *int64, size int) (int, error) { return unix.Sendfile(int(null.Fd()), fd(f), nil, size) })
		}},
		{name: "splice", do: func(f *file) error {
			return throughPipe(f, func(to int, at *int64, size int) (int64, error) {
				return unix.Splice(fd(f), at, to, nil, size, 0)
			})
		}},
		{name: "read by who has an io_uring", do: func(f *file) error {
			defer unix.Close(newRing(t).fd)
			return whole(unix.Read(fd(f), buf))
		}},
		{name: "io_uring", unknown: true, do: func(f *file) error {
			r := newRing(t)
			defer unix.Close(r.fd)
			n := r.read(t, f, waitsFrom*pageSize, len(buf))
			return whole(n, nil)
		}},
		{name: "preadv2 with RWF_NOWAIT", unknown: true, short: true, do: func(f *file) error {
			_, err := unix.Preadv2(fd(f), list, at, unix.RWF_NOWAIT)
			return err
		}},
		{name: "splice at the file's position", do: func(f *file) error {
			return throughPipe(f, func(to int, _ *int64, size int) (int64, error) {
				return unix.Splice(fd(f), nil, to, nil, size, 0)
			})
		}},
	}
	if !fs.shares {
		calls = append(calls, call{name: "copy_file_range", do: func(f *file) error {
			return all(func(at *int64, size int) (int, error) {
				return unix.CopyFileRange(fd(f), at, int(to.Fd()), nil, size, 0)
			})
		}})
	}
	return calls
}

// TestReadsThatWait lets reads wait for a page in the middle of what they read,
// when they have got pages before it: on their way from the disk, which the
// test holds, that page is there and not up to date. The pages before it are
// hits, or misses, all others misses.
func TestReadsThatWait(t *testing.T) {
	for _, fs := range filesystems {
		t.Run(fs.name, func(t *testing.T) {
			dir, g := fs.gated(t)
			f := newFile(t, dir, "waits", waitsPages)
			for _, w := range waysHere(t) {
				t.Run(w.name, func(t *testing.T) { readsThatWait(t, w.only(t, dir), w, f, g, reads(t, dir, fs)) })
			}
		})
	}
}

// TestReadsThatWaitInOverlay does the same in overlayfs, whose file has the
// pages of another one.
func TestReadsThatWaitInOverlay(t *testing.T) {
	fs := filesystems[0]
	fs.shares = true // a copy within overlayfs is another's
	dir, g := fs.gated(t)
	newFile(t, dir, "waits", waitsPages)
	root := filepath.Join(t.TempDir(), "overlay")
	run(t, "mkdir", root)
	_ = kerneltest.Modprobe("overlay") // or built in: mount says so
	mount(t, root, "-t", "overlay", "overlay", "-o", "lowerdir="+dir+":"+root)
	opened, err := os.Open(filepath.Join(root, "waits"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	for _, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) {
			// overlayfs refuses RWF_NOWAIT.
			list := slices.DeleteFunc(reads(t, dir, fs), func(c call) bool { return c.short })
			readsThatWait(t, w.only(t, dir), w, &file{opened, t}, g, list)
		})
	}
}

func readsThatWait(t *testing.T, spec collector.Spec, w way, f *file, g *gate, list []call) {
	e := kerneltest.Run(t, spec)
	for _, c := range list {
		for _, page := range []int{waitsFrom + 1, waitsFrom + 7, waitsFrom + 23} {
			for _, known := range []bool{true, false} {
				name := fmt.Sprintf("%s, page %d, known=%v", c.name, page, known)
				kerneltest.Conclusive(t, attempts, func(a *kerneltest.Attempt) {
					f.t = a
					before := page - waitsFrom
					want := counts{misses: waitsTo - waitsFrom}
					if c.short {
						want[misses] = before
					}
					coldRandom(f)
					if known {
						want[hits], want[misses] = before, want[misses]-before
						for p := waitsFrom; p < page; p++ {
							f.read(p)
						}
					} else {
						f.ahead(waitsFrom, before)
						f.await(before)
					}
					if err := seek(f); err != nil {
						a.Fatal(err)
					}
					r := watch(a, f)
					start := counted(a, e)
					wait := waiting(a, g, f, page, c)
					wait()
					if c.short { // else the page is cached some time later
						f.await(before + 1)
					}
					end := counted(a, e)
					r.ends()
					for i := range names[:2] {
						truth := r.exactly(want[i])
						if c.unknown && w.name == "tracepoint" && known == (i == hits) {
							truth.Below = before
						}
						kerneltest.Check(a, name+": "+names[i], end[i]-start[i], truth)
					}
				})
			}
		}
	}
	kerneltest.Read(t, e).Lost(t)
}

// waiting starts the call with the page on its way from the disk, which comes
// when the call waits for it. It returns what waits for the call's thread to end.
func waiting(t testing.TB, g *gate, f *file, page int, c call) (wait func()) {
	t.Helper()
	g.close()
	defer g.open()
	f.ahead(page, 1)
	select {
	case <-g.holds:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody reads the page from the disk")
	}
	tid, wait := startThread(t, func() {
		if err := c.do(f); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	})
	if c.short {
		wait()
		return wait
	}
	for range 10_000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
		if err != nil {
			t.Fatal(c.name, "did not wait: ", err)
		}
		// The state follows the name, which is in brackets (proc_pid_stat(5)).
		if _, state, _ := strings.Cut(string(stat), ") "); state[0] == 'D' || c.unknown && state[0] == 'S' {
			return wait
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(c.name, "does not wait")
	return nil
}
