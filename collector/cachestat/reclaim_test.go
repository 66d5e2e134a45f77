// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// reclaim is what may disturb a test of its own files: the kernel takes pages
// from the page cache, by itself.
type reclaim struct {
	t           testing.TB
	files       []*file
	gone, again int // when it began
	pages       int // until it ended
}

// watch begins to look what the kernel takes of the files.
func watch(t testing.TB, files ...*file) *reclaim {
	t.Helper()
	r := &reclaim{t: t, files: files}
	r.gone, r.again = r.now()
	return r
}

// now returns how many pages of the files the cache remembers to have been
// taken (cachestat(2), since Linux 6.5), and how many of any file it took and
// brought in again, which it then forgets (/proc/vmstat).
func (r *reclaim) now() (gone, again int) {
	r.t.Helper()
	for _, f := range r.files {
		var all struct{ offset, length uint64 } // to the end
		var stat struct{ cache, dirty, writeback, evicted, recentlyEvicted uint64 }
		_, _, errno := unix.Syscall6(unix.SYS_CACHESTAT, f.Fd(), uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&stat)), 0, 0, 0)
		if errno != 0 && errno != unix.ENOSYS {
			r.t.Fatal("cachestat:", errno)
		}
		gone += int(stat.evicted)
	}
	// Each CPU keeps some to itself until somebody asks (Documentation/admin-guide/sysctl/vm.rst).
	if err := os.WriteFile("/proc/sys/vm/stat_refresh", []byte("1"), 0); err != nil {
		r.t.Fatal(err)
	}
	vmstat, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		r.t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(vmstat), "\nworkingset_refault_file ")
	if _, err := fmt.Sscan(after, &again); !ok || err != nil {
		r.t.Fatal("no workingset_refault_file in /proc/vmstat:", err)
	}
	return gone, again
}

// ends looks for the last time. A page that had gone before may have come again.
func (r *reclaim) ends() {
	r.t.Helper()
	gone, again := r.now()
	r.pages = max(0, gone-r.gone) + max(0, again-r.again)
}

// exactly returns the truth of a counter: a page that was taken may be added
// again, be a miss again, and no hit.
func (r *reclaim) exactly(n int) kerneltest.Truth[int] {
	return kerneltest.Exactly(n).Beside(r.pages, r.pages,
		fmt.Sprintf("the kernel took %d pages from the page cache (cachestat(2), /proc/vmstat)", r.pages))
}
