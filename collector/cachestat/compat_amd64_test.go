// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/kerneltest/compat"
	"github.com/kernscope/kernscope/internal/label"
)

// TestCompatReadsThatWait lets 32-bit calls wait: they have other numbers,
// other registers, and positions in two halves or of 32 bits.
func TestCompatReadsThatWait(t *testing.T) {
	if !compat.Supported() {
		kerneltest.VM(t, "this kernel runs no 32-bit programs")
		t.Fatal("a kernel of the matrix that runs no 32-bit programs")
	}
	// While a call waits, the runtime believes that it computes: it needs a
	// processor more, and must not wait for all to stop.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	dir, g := filesystems[0].gated(t)
	f := newFile(t, dir, "waits", waitsPages)
	for _, w := range waysHere(t) {
		t.Run(w.name, func(t *testing.T) { readsThatWait(t, w.only(t, dir), w, f, g, compatReads(t)) })
	}
}

func compatReads(t *testing.T) []call {
	const size = (waitsTo - waitsFrom)
	memory, err := unix.Mmap(-1, 0, size*pageSize+4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_32BIT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(memory) })
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	buf, other := memory[4096:], memory[:4096]
	low := func(b []byte) uint32 { return uint32(addr(b)) }
	at := uint32(waitsFrom * pageSize)
	// The position, where a call wants to be told where it is, in 64 bits and in
	// 32 before other bytes, and a list of two buffers.
	position, half, vector := other[:8], other[8:16], other[16:32]
	prepare := func() {
		binary.NativeEndian.PutUint64(position, uint64(at))
		binary.NativeEndian.PutUint64(half, 1<<40|uint64(at))
		for i, v := range []uint32{low(buf), 100, low(buf) + 100, uint32(len(buf) - 100)} {
			binary.NativeEndian.PutUint32(vector[4*i:], v)
		}
	}
	one := func(name string, args func(fd uint32) [6]uint32) call {
		number, ok := label.CompatSyscallNumber(name)
		if !ok {
			t.Fatal("no 32-bit ", name)
		}
		return call{name: "32-bit " + name, do: func(f *file) error {
			prepare()
			values := args(uint32(f.Fd()))
			if n := compat.Call6(number, &values); int(n) != len(buf) {
				return fmt.Errorf("returned %d, want %d", n, len(buf))
			}
			return nil
		}}
	}
	length := uint32(len(buf))
	return []call{
		one("read", func(fd uint32) [6]uint32 { return [6]uint32{fd, low(buf), length} }),
		one("pread64", func(fd uint32) [6]uint32 { return [6]uint32{fd, low(buf), length, at} }),
		one("preadv", func(fd uint32) [6]uint32 { return [6]uint32{fd, low(vector), 2, at} }),
		one("preadv2", func(fd uint32) [6]uint32 { return [6]uint32{fd, low(vector), 2, ^uint32(0), ^uint32(0)} }),
		one("sendfile", func(fd uint32) [6]uint32 { return [6]uint32{uint32(null.Fd()), fd, low(half), length} }),
		one("sendfile64", func(fd uint32) [6]uint32 { return [6]uint32{uint32(null.Fd()), fd, low(position), length} }),
		one("sendfile64", func(fd uint32) [6]uint32 { return [6]uint32{uint32(null.Fd()), fd, 0, length} }),
	}
}
