// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

func addr(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

// counts are the collector's counters, in pages.
type counts [4]int

const (
	hits = iota
	misses
	adds
	dirties
)

// added, as an expected number of adds: what mincore says has come.
const added = -1

// names are the counters', in the names of their metrics.
var names = [4]string{"hits", "misses", "adds", "dirties"}

// step is a workload with known counts.
type step struct {
	name string
	// prepare brings about what the step needs; it is not counted.
	prepare func(f *file)
	do      func(f *file)
	want    counts
}

func cold(f *file) { f.drop() }

func coldRandom(f *file) {
	f.drop()
	f.advise(unix.FADV_RANDOM)
}

func warm(f *file) {
	f.advise(unix.FADV_NORMAL)
	sequential(64 << 10)(f)
	if n := f.resident(); n < pages {
		f.t.Fatalf("%d of %d pages are cached after reading all", n, pages)
	}
}

// warmClean does what warm does, and leaves nothing to write to the disk.
func warmClean(f *file) {
	if err := f.Sync(); err != nil {
		f.t.Fatal(err)
	}
	warm(f)
}

// sequential reads the file from start to end, so many bytes at a time.
func sequential(size int) func(f *file) {
	return func(f *file) {
		buf := make([]byte, size)
		for at := 0; at < pages*pageSize; {
			n, err := unix.Pread(int(f.Fd()), buf, int64(at))
			if err != nil || n == 0 {
				f.t.Fatalf("reading at %d: %d bytes, %v", at, n, err)
			}
			at += n
		}
	}
}

// touched returns how many pages the calls of sequential touch, summed.
func touched(size int) int {
	n := 0
	for at := 0; at < pages*pageSize; at += size {
		last := min(at+size, pages*pageSize) - 1
		n += last/pageSize - at/pageSize + 1
	}
	return n
}

// order is 997 pages in an order that no readahead foresees.
var order = rand.New(rand.NewSource(1)).Perm(pages)[:997]

func random(f *file) {
	buf := make([]byte, pageSize)
	for _, page := range order {
		if _, err := unix.Pread(int(f.Fd()), buf, int64(page*pageSize)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// wander reads sequentially and changes the CPU with every call.
func wander(f *file) {
	cpus := kerneltest.CPUs(f.t)
	buf := make([]byte, 64<<10)
	for at, i := 0, 0; at < pages*pageSize; i++ {
		var set unix.CPUSet
		set.Set(cpus[i%len(cpus)])
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			f.t.Fatal(err)
		}
		n, err := unix.Pread(int(f.Fd()), buf, int64(at))
		if err != nil {
			f.t.Fatal(err)
		}
		at += n
	}
}

// alternate reads the file in turns with another.
func alternate(other *file) func(f *file) {
	return func(f *file) {
		buf := make([]byte, 64<<10)
		for at := 0; at < pages*pageSize; at += len(buf) {
			for _, one := range []*file{f, other} {
				if _, err := unix.Pread(int(one.Fd()), buf, int64(at)); err != nil {
					f.t.Fatal(err)
				}
			}
		}
	}
}

// sendfile sends the file to nowhere, through a pipe inside the kernel.
func sendfile(f *file) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer null.Close()
	for offset := int64(0); offset < int64(pages*pageSize); {
		if _, err := unix.Sendfile(int(null.Fd()), int(f.Fd()), &offset, 64<<10); err != nil {
			f.t.Fatal(err)
		}
	}
}

// splice moves the file to nowhere, a pipe's fill at a time.
func splice(f *file) {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		f.t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	buf := make([]byte, 16*pageSize)
	for offset := int64(0); offset < int64(pages*pageSize); {
		n, err := unix.Splice(int(f.Fd()), &offset, pipe[1], nil, len(buf), 0)
		if err != nil {
			f.t.Fatal(err)
		}
		for left := int(n); left > 0; {
			n, err := unix.Read(pipe[0], buf)
			if err != nil || n == 0 {
				f.t.Fatalf("reading from the pipe: %d bytes, %v", n, err)
			}
			left -= n
		}
	}
}

// readv reads the file into several buffers at a time.
func readv(f *file) {
	buffers := [][]byte{make([]byte, pageSize/2), make([]byte, 7*pageSize), make([]byte, pageSize/2)}
	for at := 0; at < pages*pageSize; {
		n, err := unix.Preadv(int(f.Fd()), buffers, int64(at))
		if err != nil || n == 0 {
			f.t.Fatalf("reading at %d: %d bytes, %v", at, n, err)
		}
		at += n
	}
}

func touch(f *file) {
	f.mapped(0, func(data []byte) {
		sum := byte(0)
		for at := 0; at < len(data); at += pageSize {
			sum += data[at]
		}
		if sum == 1 {
			f.t.Log("the compiler must not leave this out")
		}
	})
}

func write(size int) func(f *file) {
	return func(f *file) {
		buf := make([]byte, size)
		for at := 0; at < pages*pageSize; at += size {
			if _, err := unix.Pwrite(int(f.Fd()), buf[:min(size, pages*pageSize-at)], int64(at)); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

func empty(f *file) {
	if err := f.Truncate(0); err != nil {
		f.t.Fatal(err)
	}
}

func steps(other *file) []step {
	all := counts{misses: pages, adds: added}
	again := counts{hits: pages}
	list := []step{
		{"cold, 997 random preads, no readahead", coldRandom, random, counts{misses: 997, adds: added}},
		{"the same 997 preads again", func(*file) {}, random, counts{hits: 997}},
		{"cold, 997 random preads, readahead", cold, random, counts{misses: 997, adds: added}},
		{"cold, changing CPU with every read", cold, wander, all},
		{"cold, in turns with another file", func(f *file) { f.drop(); other.drop() }, alternate(other), counts{misses: 2 * pages, adds: added}},
		{"warm, in turns with another file", warm, alternate(other), counts{hits: 2 * pages}},
		{"cold, sendfile", cold, sendfile, all},
		{"warm, sendfile", warm, sendfile, again},
		{"cold, readv", cold, readv, all},
		{"cold, splice", cold, splice, all},
		{"warm, splice", warm, splice, again},
		{"brought in by posix_fadvise, then read", cold, func(f *file) {
			for at := 0; at < pages; at += 16 {
				unix.Fadvise(int(f.Fd()), int64(at*pageSize), int64(16*pageSize), unix.FADV_WILLNEED)
			}
			sequential(64 << 10)(f)
		}, all},
		{"cold, mmap", cold, touch, counts{adds: added}},
		{"warm, mmap", warm, touch, counts{}},
		{"writing a new file", empty, write(64 << 10), counts{adds: added, dirties: pages}},
		// Linux 5.10 adds a page beyond the end to find that there is none to read.
		{"reading what was written", func(f *file) { f.read(pages) }, sequential(64 << 10), again},
		{"overwriting dirty pages", func(f *file) { empty(f); write(64 << 10)(f) }, write(64 << 10), counts{}},
		{"overwriting clean pages", warmClean, write(64 << 10), counts{dirties: pages}},
		{"overwriting uncached pages", cold, write(64 << 10), counts{adds: added, dirties: pages}},
	}
	for _, size := range []int{1000, 4 << 10, 64 << 10, 1 << 20, pages * pageSize} {
		list = append(list,
			step{fmt.Sprintf("cold, reads of %d bytes", size), cold, sequential(size),
				counts{hits: touched(size) - pages, misses: pages, adds: added}},
			step{fmt.Sprintf("warm, reads of %d bytes", size), warm, sequential(size), counts{hits: touched(size)}})
	}
	return list
}

// TestGroundTruth runs every step, on every file system and by every way that
// this kernel has to see reads. All counters must be exact.
func TestGroundTruth(t *testing.T) {
	for _, fs := range filesystems {
		t.Run(fs.name, func(t *testing.T) {
			dir := fs.dir(t)
			for i, w := range waysHere(t) {
				t.Run(w.name, func(t *testing.T) { groundTruth(t, fs, dir, w, i == 0) })
			}
		})
	}
}

func groundTruth(t *testing.T, fs filesystem, dir string, w way, first bool) {
	f, other := newFile(t, dir, "file", pages), newFile(t, dir, "other", pages)
	e := kerneltest.Run(t, w.only(t, dir))
	table := []string{fmt.Sprintf("%-40s %15s %13s %13s %13s  %8s %7s", "pages counted (expected)", "hits", "misses", "adds", "dirties", "attempts", "folio ≤")}
	smallest, largest := pages, 0
	for _, s := range steps(other) {
		t.Run(s.name, func(t *testing.T) {
			kerneltest.Conclusive(t, attempts, func(a *kerneltest.Attempt) {
				f.t, other.t = a, a
				got, want, r := s.count(e, f, other)
				folio := f.largestFolio()
				smallest, largest = min(smallest, folio), max(largest, folio)
				table = append(table, s.row(got, want)+fmt.Sprintf("  %8d %7d", a.N, folio))
				s.compare(a, fs, got, want, r, first)
			})
		})
	}
	kerneltest.Read(t, e).Lost(t)
	t.Log("\n" + strings.Join(table, "\n"))
	if smallest != 1 {
		t.Errorf("no step had folios of a page only: the largest had %d at least", smallest)
	}
	if slices.Contains(fs.large, kerneltest.Kernel()) && largest == 1 {
		t.Errorf("no step had folios of more than a page, which this kernel has on %s", fs.name)
	}
}

// attempts at a step. Nobody else uses the test's file systems, but the machine
// may take pages of its files.
const attempts = 10

// row returns the row of the test's own table.
func (s *step) row(got, want counts) string {
	row := fmt.Sprintf("%-40s", s.name)
	for i := range want {
		row += fmt.Sprintf(" %13s", fmt.Sprintf("%d (%d)", got[i], want[i]))
	}
	return row
}

// compare fails unless the counts are right, and adds the step to
// docs/ACCURACY.md if it is to be shown.
func (s *step) compare(t testing.TB, fs filesystem, got, want counts, r *reclaim, first bool) {
	t.Helper()
	for i, name := range names {
		if !first || s.want[i] == 0 || !slices.Contains(fs.shown, s.name) {
			kerneltest.Check(t, name, got[i], r.exactly(want[i]))
			continue
		}
		source := "the pages of the workload"
		if s.want[i] == added {
			source = "mincore"
		}
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: "ebpf_page_cache_" + name + "_total", Workload: fs.name + ": " + s.name, Source: source,
		}, got[i], r.exactly(want[i]))
	}
}

// count runs the step once and returns what was counted, what should be, and
// what disturbed it.
func (s *step) count(e *engine.Engine, f, other *file) (got, want counts, r *reclaim) {
	f.t.Helper()
	s.prepare(f)
	resident, r := f.resident()+other.resident(), watch(f.t, f, other)
	before := counted(f.t, e)
	onThread(f.t, func() { s.do(f) })
	after := counted(f.t, e)
	want = s.want
	if want[adds] == added {
		want[adds] = f.resident() + other.resident() - resident
	}
	for i := range got {
		got[i] = after[i] - before[i]
	}
	r.ends()
	return got, want, r
}

func counted(t testing.TB, e *engine.Engine) counts {
	t.Helper()
	n := kerneltest.Read(t, e)
	value := func(what string) int { return int(n.Value("ebpf_page_cache_" + what + "_total")) }
	return counts{value("hits"), value("misses"), value("adds"), value("dirties")}
}
