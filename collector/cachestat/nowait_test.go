// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"encoding/binary"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const (
	block  = 61 // pages; a prime, so that no folio fits
	blocks = 60
)

// TestReadsThatDoNotWait reads blocks of which only the first page is there, by
// calls that get what is there and do not wait for the rest: they must not
// count what they did not get.
func TestReadsThatDoNotWait(t *testing.T) {
	dir := filesystems[0].dir(t)
	for i, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) {
			f := newFile(t, dir, "blocks", blocks*block)
			e := kerneltest.Run(t, w.only(t, dir))
			for _, tt := range []struct {
				name string
				// read reads the block and returns how many pages it got.
				read func(t testing.TB, f *file, at int) int
			}{
				{"preadv2 with RWF_NOWAIT", nowait},
				{"io_uring", func(t testing.TB, f *file, at int) int {
					ring := newRing(t)
					defer unix.Close(ring.fd)
					return inPages(ring.read(t, f, at, block*pageSize))
				}},
			} {
				kerneltest.Conclusive(t, attempts, func(a *kerneltest.Attempt) {
					f.t = a
					coldRandom(f)
					one := make([]byte, pageSize)
					r, before := watch(a, f), counted(a, e)
					want := counts{misses: blocks}
					onThread(a, func() {
						for b := range blocks {
							at := b * block * pageSize
							if _, err := unix.Pread(int(f.Fd()), one, int64(at)); err != nil {
								a.Error(err)
							}
							n := tt.read(a, f, at)
							want[hits] += min(n, 1)
							want[misses] += max(n, 1) - 1
						}
					})
					after := counted(a, e)
					r.ends()
					for j, name := range names[:2] {
						row := kerneltest.Row{
							Metric: "ebpf_page_cache_" + name + "_total", Source: "the pages of the workload",
							Workload: "ext4: blocks whose first page is cached, read by " + tt.name,
						}
						if i == 0 {
							kerneltest.Accuracy(a, row, after[j]-before[j], r.exactly(want[j]))
						} else {
							kerneltest.Check(a, row.Metric+", "+row.Workload, after[j]-before[j], r.exactly(want[j]))
						}
					}
				})
			}
		})
	}
}

// nowait asks for a block without waiting; that nothing is there is no error.
func nowait(t testing.TB, f *file, at int) int {
	n, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, block*pageSize)}, int64(at), unix.RWF_NOWAIT)
	if err != nil && err != unix.EAGAIN {
		t.Error("preadv2:", err)
	}
	return inPages(n)
}

func inPages(bytes int) int { return (max(bytes, 0) + pageSize - 1) / pageSize }

// ring is an io_uring with room for one read (io_uring(7)).
type ring struct {
	fd        int
	submitted []byte // the ring of what is asked for, and that of what is done
	entry     []byte // what is asked for
	params    [120]byte
}

// Offsets in struct io_uring_params and struct io_uring_sqe
// (include/uapi/linux/io_uring.h).
const (
	sqTail, sqArray          = 40 + 4, 40 + 24
	cqHead, cqTail, cqCQEs   = 80, 80 + 4, 80 + 20
	opRead, ringSize, getEvs = 22, 1 << 12, 1
	sqesAt                   = 0x10000000
)

func newRing(t testing.TB) *ring {
	r := new(ring)
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, addr(r.params[:]), 0)
	if errno != 0 {
		t.Fatal("io_uring_setup:", errno)
	}
	r.fd = int(fd)
	var err error
	if r.submitted, err = unix.Mmap(r.fd, 0, ringSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		t.Fatal("mapping the rings:", err)
	}
	if r.entry, err = unix.Mmap(r.fd, sqesAt, 64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		t.Fatal("mapping the entries:", err)
	}
	return r
}

// at returns a 32-bit word of the rings, by the offset that the kernel has
// told.
func (r *ring) at(offset int) *uint32 {
	return (*uint32)(unsafe.Pointer(&r.submitted[binary.NativeEndian.Uint32(r.params[offset:])]))
}

// read asks for so many bytes, waits until all are there, and returns how many.
func (r *ring) read(t testing.TB, f *file, at, size int) int {
	buf := make([]byte, size)
	clear(r.entry)
	r.entry[0] = opRead
	binary.NativeEndian.PutUint32(r.entry[4:], uint32(f.Fd()))
	binary.NativeEndian.PutUint64(r.entry[8:], uint64(at))
	binary.NativeEndian.PutUint64(r.entry[16:], uint64(addr(buf)))
	binary.NativeEndian.PutUint32(r.entry[24:], uint32(len(buf)))
	*r.at(sqArray) = 0
	*r.at(sqTail)++
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 1, getEvs, 0, 0); errno != 0 {
		t.Error("io_uring_enter:", errno)
		return 0
	}
	if *r.at(cqTail) == *r.at(cqHead) {
		t.Error("io_uring: nothing is done")
		return 0
	}
	runtime.KeepAlive(buf) // the kernel has its address only
	cqe := r.submitted[binary.NativeEndian.Uint32(r.params[cqCQEs:]):]
	n := int32(binary.NativeEndian.Uint32(cqe[8:]))
	if int(n) != len(buf) {
		t.Errorf("io_uring: read %d bytes, want %d", n, len(buf))
	}
	return int(n)
}
