// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// sparse makes a file of so many pages, none of them on the disk or cached.
func sparse(t *testing.T, pages int) *file {
	t.Helper()
	f := newFile(t, filesystems[0].dir(t), "sparse", 1)
	if err := f.Truncate(int64(pages * pageSize)); err != nil {
		t.Fatal(err)
	}
	return f
}

// bring brings pages in, a number of them at each of some places, and
// waits until all are there.
func (f *file) bring(a *kerneltest.Attempt, first, step, count, places int) {
	a.Helper()
	r := watch(a, f)
	for place := range places {
		f.ahead(first+place*step, count)
	}
	if f.awaits(count * places) {
		return
	}
	// The kernel is free not to bring in what it is asked for, and to take it again.
	r.ends()
	a.Void("%d of %d pages are cached after asking for them (mincore), and %d were taken", f.resident(), count*places, r.pages)
}

// TestForgottenPagesAreCounted brings in a page of each of more chunks than
// there are rows of marks, then reads them: what is not a miss was forgotten.
func TestForgottenPagesAreCounted(t *testing.T) {
	const chunk, chunks = 64, 20011
	f := sparse(t, chunk*chunks)
	for i, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) {
			kerneltest.Conclusive(t, attempts, func(a *kerneltest.Attempt) {
				f.t = a
				f.drop()
				e := kerneltest.Run(a, w.only(a, f.Name()))
				f.bring(a, 0, chunk, 1, chunks)
				for i := range chunks {
					if !f.readThere(i * chunk) {
						a.Void("the kernel has taken page %d from the page cache before it was read", i*chunk)
					}
				}
				n := kerneltest.Read(a, e)
				value := func(what string) int { return int(n.Value("ebpf_page_cache_" + what + "_total")) }
				hits, misses, forgotten := value("hits"), value("misses"), value("forgotten")
				a.Logf("%d pages read for the first time: %d misses, %d hits, %d forgotten", chunks, misses, hits, forgotten)
				kerneltest.Check(a, "hits and misses", hits+misses, kerneltest.Exactly(chunks))
				if forgotten == 0 {
					a.Error("nothing was forgotten")
				}
				// A table that is twice as full as it should be forgets a third.
				if misses < chunks/2 {
					a.Errorf("%d of %d pages are misses: the rows are not used evenly", misses, chunks)
				}
				row := kerneltest.Row{
					Metric: "ebpf_page_cache_forgotten_total", Source: "the pages read for the first time that were hits",
					Workload: fmt.Sprintf("a page of each of %d chunks, brought in and read", chunks),
				}
				if i == 0 {
					kerneltest.Accuracy(a, row, forgotten, kerneltest.Exactly(hits))
				} else {
					kerneltest.Check(a, row.Metric, forgotten, kerneltest.Exactly(hits))
				}
			})
		})
	}
}

// TestLongRead reads in one call what was brought in and never read: every
// page is a miss, however many there are, but for those that were forgotten.
func TestLongRead(t *testing.T) {
	const long, ahead = 1100 * 64, 32
	f := sparse(t, long)
	for _, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) {
			kerneltest.Conclusive(t, attempts, func(a *kerneltest.Attempt) {
				f.t = a
				f.drop()
				e := kerneltest.Run(a, w.only(a, f.Name()))
				r := watch(a, f)
				f.bring(a, 0, ahead, ahead, long/ahead)
				// One buffer, many times: only the call has to be long.
				buf := make([]byte, 100*64*pageSize)
				onThread(a, func() {
					n, err := unix.Preadv(int(f.Fd()), [][]byte{buf, buf, buf, buf, buf, buf, buf, buf, buf, buf, buf}, 0)
					if n != long*pageSize || err != nil {
						a.Errorf("read %d bytes (%v), want %d", n, err, long*pageSize)
					}
				})
				n := counted(a, e)
				r.ends()
				forgotten := int(kerneltest.Read(a, e).Value("ebpf_page_cache_forgotten_total"))
				kerneltest.Check(a, "misses", n[misses], r.exactly(long-forgotten))
				kerneltest.Check(a, "hits", n[hits], r.exactly(forgotten))
			})
		})
	}
}
