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
	f.drop()
	return f
}

// TestForgottenPagesAreCounted brings in a page of each of more chunks than
// there are rows of marks, then reads them: what is not a miss was forgotten.
func TestForgottenPagesAreCounted(t *testing.T) {
	const chunk, chunks = 64, 20011
	f := sparse(t, chunk*chunks)
	for i, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) {
			f.t = t
			f.drop()
			e := kerneltest.Run(t, w.only(t, f.Name()))
			before := kerneltest.Read(t, e)
			for i := range chunks {
				if err := unix.Fadvise(int(f.Fd()), int64(i*chunk*pageSize), int64(pageSize), unix.FADV_WILLNEED); err != nil {
					t.Fatal(err)
				}
			}
			if n := f.resident(); n != chunks {
				t.Fatalf("%d pages are cached, want %d", n, chunks)
			}
			buf := make([]byte, pageSize)
			for i := range chunks {
				if _, err := unix.Pread(int(f.Fd()), buf, int64(i*chunk*pageSize)); err != nil {
					t.Fatal(err)
				}
			}
			after := kerneltest.Read(t, e)
			value := func(what string) int {
				name := "ebpf_page_cache_" + what + "_total"
				return int(after.Value(name) - before.Value(name))
			}
			hits, misses, forgotten := value("hits"), value("misses"), value("forgotten")
			t.Logf("%d pages read for the first time: %d misses, %d hits, %d forgotten", chunks, misses, hits, forgotten)
			// Other processes can only add to the three.
			if forgotten == 0 || misses+forgotten < chunks || hits+misses < chunks {
				t.Errorf("%d misses, %d hits and %d forgotten of %d pages", misses, hits, forgotten, chunks)
			}
			if i == 0 {
				kerneltest.Accuracy(t, kerneltest.Row{
					Metric: "ebpf_page_cache_forgotten_total", Source: "the pages read for the first time that were hits",
					Workload: fmt.Sprintf("a page of each of %d chunks, brought in and read", chunks),
				}, forgotten, kerneltest.Truth[int]{
					Least: chunks - misses, Most: chunks - misses, Above: 2 * (value("adds") - chunks),
					Why: "Pages that others bring in meanwhile are forgotten, too, or are misses.",
				})
			}
			// A table that is twice as full as it should be forgets a third.
			if misses < chunks/2 {
				t.Errorf("%d of %d pages are misses: the rows are not used evenly", misses, chunks)
			}
		})
	}
}

// TestLongRead reads in one call what was brought in and never read: every
// page is a miss, however many there are.
func TestLongRead(t *testing.T) {
	const long, ahead = 1100 * 64, 32
	f := sparse(t, long)
	for _, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) {
			f.t = t
			f.drop()
			e := kerneltest.Run(t, w.only(t, f.Name()))
			// Nobody waits for what is asked for, and the machine may take it again.
			for attempt := 0; f.resident() != long; attempt++ {
				if attempt == 30 {
					t.Fatalf("%d pages are cached, want %d", f.resident(), long)
				}
				for page := 0; page < long; page += ahead {
					if err := unix.Fadvise(int(f.Fd()), int64(page*pageSize), int64(ahead*pageSize), unix.FADV_WILLNEED); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := read(t, e)
			// One buffer, many times: only the call has to be long.
			buf := make([]byte, 100*64*pageSize)
			onThread(t, func() {
				n, err := unix.Preadv(int(f.Fd()), [][]byte{buf, buf, buf, buf, buf, buf, buf, buf, buf, buf, buf}, 0)
				if n != long*pageSize || err != nil {
					t.Errorf("read %d bytes (%v), want %d", n, err, long*pageSize)
				}
			})
			after := read(t, e)
			n := after[misses] - before[misses]
			least := long - int(kerneltest.Read(t, e).Value("ebpf_page_cache_forgotten_total"))
			if n < least || n > long+long/100 { // others read, too
				t.Errorf("%d misses and %d hits, want %d to %d misses", n, after[hits]-before[hits], least, long)
			}
		})
	}
}
