// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/label"
)

// TestReplaced removes a disk, and makes another of the same number and name.
func TestReplaced(t *testing.T) {
	loop(t, 1<<20) // there are loop devices
	for kind, spec := range map[string]string{"typed": "_typed", "raw": "_raw"} {
		t.Run(kind, func(t *testing.T) {
			e := kerneltest.Run(t, kerneltest.OnlySuffix(diskio.Spec(), spec))
			exactly(t, func(t *trial) { replaceLoop(t, e) })
		})
	}
}

func replaceLoop(t *trial, e *engine.Engine) {
	const number, first, second = 733, 500, 21
	d := disk{fmt.Sprint("loop", number)}
	reads := func(what string, n kerneltest.Numbers, want uint64) tally {
		t.Helper()
		hidden := t.hidden.Hidden()
		got := collected(n, d.name)["read"]
		kerneltest.Check(t, what, got.ios, kerneltest.Exactly(want).Beside(uint64(hidden.Events(int(want), perStint, t.Last)), 0, hidden.String()))
		return got
	}
	before := kerneltest.Read(t, e)
	reads("reads before the disk exists", before, 0)
	remove := addLoop(t, number)
	readTimes(t, d, first)
	counted := reads("reads of the first disk", kerneltest.Read(t, e), first)
	remove()
	left := kerneltest.Read(t, e)
	reads("reads after the first disk has gone", left, 0)
	more := collected(left, label.Gone).minus(collected(before, label.Gone))["read"]
	if more.ios < counted.ios || more.bytes < counted.bytes || more.ns < counted.ns {
		t.Errorf("of disks that are gone there is %+v more, want %+v at least", more, counted)
	}
	remove = addLoop(t, number)
	readTimes(t, d, second)
	again := kerneltest.Read(t, e)
	reads("reads of the second disk", again, second)
	if collected(again, label.Gone)["read"].ios < collected(left, label.Gone)["read"].ios {
		t.Error("the reads of disks that are gone have fallen")
	}
	remove()
}

// addLoop makes a loop device of this number in memory, until the test ends or
// it is removed.
func addLoop(t testing.TB, number int) (remove func()) {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(control.Fd()), unix.LOOP_CTL_ADD, number); err != nil {
		t.Fatalf("adding loop%d: %v", number, err)
	}
	var device *os.File
	remove = sync.OnceFunc(func() {
		device.Close()
		kerneltest.Until(t, "the loop device is removed", func() error {
			return unix.IoctlSetInt(int(control.Fd()), unix.LOOP_CTL_REMOVE, number)
		})
		control.Close()
	})
	t.Cleanup(remove)
	if device, err = os.OpenFile(fmt.Sprint("/dev/loop", number), os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	backing, err := kerneltest.MemoryFile(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		t.Fatal(err)
	}
	return remove
}

// readTimes reads a disk so many times.
func readTimes(t testing.TB, d disk, n int) {
	t.Helper()
	f, err := os.OpenFile(d.path(), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := aligned(t, 4096)
	for i := range n {
		if _, err := f.ReadAt(block, int64(i%256)*4096); err != nil {
			t.Fatal(err)
		}
	}
}

// replaceMapped removes a volume, and makes another, which gets its number.
func replaceMapped(t *testing.T, e *engine.Engine) {
	below, _ := loop(t, 4<<20)
	volume := func(t *testing.T, name string, n int) (disk, kerneltest.Numbers) {
		d := mapped(t, name, "linear", below.path()+" 0", below.sectors(t))
		readTimes(t, d, n)
		s := see(t, e, d)
		equal(t, d.name+"'s bytes of read", collected(s.before, d.name)["read"].bytes, s.kernel["read"].bytes)
		equal(t, "info of "+d.name, s.before.Value("ebpf_disk_info", "device="+d.name, "name="+name), 1)
		return d, s.before
	}
	var first disk
	var there kerneltest.Numbers
	t.Run("first", func(t *testing.T) { first, there = volume(t, "first", 40) })
	second, again := volume(t, "second", 3)
	equal(t, "name of the second volume", second, first)
	fewer(t, there, again, first.name)
}

// fewer checks that the counts of devices have moved to the row of those that
// are gone.
func fewer(t *testing.T, there, left kerneltest.Numbers, devices ...string) {
	t.Helper()
	was := make(counts)
	for _, d := range devices {
		was = was.plus(collected(there, d))
	}
	more := collected(left, label.Gone).minus(collected(there, label.Gone))
	for op, n := range was {
		equal(t, "what the disks that are gone have of "+op, more[op], n)
	}
}

// swapNVMe detaches two disks, and attaches them in the other order: each gets
// the name of the other, and its number or that of a partition.
func swapNVMe(t *testing.T, e *engine.Engine) {
	a, table := loop(t, 8<<20)
	b, _ := loop(t, 8<<20)
	partition(t, table)
	names := nvmeTargets(t, a, b)
	devices := func(n kerneltest.Numbers) (found []string) {
		for key, sample := range n {
			if strings.HasPrefix(key, latency+"{") && strings.HasSuffix(key, "operation=read}") && strings.HasPrefix(sample.Labels[0], "nvme") {
				found = append(found, sample.Labels[0])
			}
		}
		return found
	}
	headA, _ := connect(t, names[0], 1)
	headB, _ := connect(t, names[1], 1)
	partitions, err := filepath.Glob(headA.sysfs(headA.name + "p*"))
	if err != nil || len(partitions) != 1 {
		t.Fatalf("%s has the partitions %v: %v", headA.name, partitions, err)
	}
	readTimes(t, headA, 500)
	readTimes(t, headB, 20)
	there := see(t, e, headA).before
	if got := collected(there, headA.name)["read"].ios; got < 500 {
		t.Errorf("%s was read 500 times, and has %d reads", headA.name, got)
	}
	disconnect(t, names[0])
	disconnect(t, names[1])
	left := kerneltest.Read(t, e)
	fewer(t, there, left, devices(there)...)
	equal(t, "number of NVMe disks that there are", len(devices(left)), 0)

	newB, _ := connect(t, names[1], 1)
	newA, _ := connect(t, names[0], 1)
	equal(t, "name of the second disk, which is now the first", newB, headA)
	readTimes(t, newB, 7)
	after := see(t, e, newB).before
	for _, d := range []disk{newA, newB} {
		if got := collected(after, d.name)["read"].ios; got == 0 || got >= 500 {
			t.Errorf("%s has %d reads", d.name, got)
		}
	}
	fewer(t, left, after)
	for _, name := range devices(after) {
		if _, err := os.Stat(disk{name}.sysfs("")); err != nil {
			t.Errorf("there is no disk %s", name)
		}
	}
}

// partition writes a table of one partition.
func partition(t *testing.T, f *os.File) {
	t.Helper()
	table := make([]byte, 512)
	entry := table[446:]
	entry[4] = 0x83
	binary.LittleEndian.PutUint32(entry[8:], 2048)
	binary.LittleEndian.PutUint32(entry[12:], 2048)
	copy(table[510:], []byte{0x55, 0xaa})
	if _, err := f.WriteAt(table, 0); err != nil {
		t.Fatal(err)
	}
}
