// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// drive makes a known number of I/Os on a disk, one after the other: n reads,
// n writes and, where the disk can, a flush after every fourth write and some
// discards. It returns what must be counted of them, without times.
func drive(t testing.TB, d disk, n, size int) counts {
	t.Helper()
	f := open(t, d, os.O_RDWR|unix.O_DIRECT)
	block := aligned(t, size)
	must := func(what string, i int, err error) {
		if err != nil {
			t.Fatalf("%s %d of %s: %v", what, i, d.name, err)
		}
	}
	want := counts{
		"read":  {ios: uint64(n), bytes: uint64(n * size)},
		"write": {ios: uint64(n), bytes: uint64(n * size)},
	}
	flushes := read(t, d.sysfs("queue/write_cache")) == "write back"
	for i := range n {
		_, err := f.WriteAt(block, int64(i*size))
		must("write", i, err)
		if i%4 == 3 {
			must("flush", i, f.Sync())
			if flushes {
				want["flush"] = tally{ios: want["flush"].ios + 1}
			}
		}
	}
	for i := range n {
		_, err := f.ReadAt(block, int64(i*size))
		must("read", i, err)
	}
	if read(t, d.sysfs("queue/discard_max_bytes")) != "0" {
		const discards, bytes = 5, 64 << 10
		for i := range discards {
			must("discard", i, discard(f, uint64(i*bytes), bytes))
		}
		want["discard"] = tally{ios: discards, bytes: discards * bytes}
	}
	return want
}

func discard(f *os.File, start, size uint64) error {
	return ioctl(f, unix.BLKDISCARD, unsafe.Pointer(&[2]uint64{start, size}))
}

func ioctl(f *os.File, request uint, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(argument)); errno != 0 {
		return fmt.Errorf("ioctl %#x: %w", request, errno)
	}
	return nil
}

// driven checks our counts against what was done.
func (s seen) driven(t testing.TB, want counts) {
	t.Helper()
	for _, op := range operations {
		equal(t, s.disk.name+"'s number of "+op, s.ours[op].ios, want[op].ios)
		equal(t, s.disk.name+"'s bytes of "+op, s.ours[op].bytes, want[op].bytes)
		if want[op].ios > 0 && s.ours[op].ns == 0 {
			t.Errorf("%s's %s took no time", s.disk.name, op)
		}
	}
	s.clean(t)
}
