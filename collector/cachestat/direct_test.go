// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"bytes"
	"math/rand"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestDirectReadThatEndsInTheCache reads, with direct I/O, a file of btrfs whose
// second half is compressed: the kernel reads that half through the page cache,
// in the same call, or all of it if it has to verify checksums. What is not
// cached then, says mincore, does not count.
func TestDirectReadThatEndsInTheCache(t *testing.T) {
	const half = 32
	fs := filesystems[2]
	f := newFile(t, fs.dir(t), "direct", 1)
	random := make([]byte, half*pageSize)
	rand.New(rand.NewSource(1)).Read(random)
	if _, err := f.WriteAt(random, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	const compressed = 0x4 // FS_COMPR_FL
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, compressed); err != nil {
		t.Fatal("asking for compression:", err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{'x'}, half*pageSize), int64(half*pageSize)); err != nil {
		t.Fatal(err)
	}
	direct, err := os.OpenFile(f.Name(), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { direct.Close() })
	buf := make([]byte, (2*half+1)*pageSize)
	buf = buf[pageSize-int(uintptr(unsafe.Pointer(&buf[0])))%pageSize:][:2*half*pageSize]
	for _, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) {
			e := kerneltest.Run(t, w.only(t, f.Name()))
			for _, read := range []call{
				{name: "read", do: func(f *file) error { _, err := unix.Read(int(f.Fd()), buf); return err }},
				{name: "pread", do: func(f *file) error { _, err := unix.Pread(int(f.Fd()), buf, 0); return err }},
			} {
				kerneltest.Conclusive(t, attempts, func(a *kerneltest.Attempt) {
					f.t = a
					f.drop()
					if _, err := direct.Seek(0, unix.SEEK_SET); err != nil {
						a.Fatal(err)
					}
					r, before := watch(a, f), counted(a, e)
					onThread(a, func() {
						if err := read.do(&file{direct, a}); err != nil {
							a.Error(err)
						}
					})
					after := counted(a, e)
					r.ends()
					kerneltest.Check(a, read.name+": misses", after[misses]-before[misses], r.exactly(f.resident()))
					kerneltest.Check(a, read.name+": hits", after[hits]-before[hits], r.exactly(0))
				})
			}
		})
	}
}
