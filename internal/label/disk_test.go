// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeDisks is a sysfs whose disks come and go.
type fakeDisks struct {
	*testing.T
	sysfs string
}

func newFakeDisks(t *testing.T) fakeDisks {
	t.Helper()
	d := fakeDisks{t, t.TempDir()}
	if err := os.Mkdir(filepath.Join(d.sysfs, "block"), 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d fakeDisks) folder(name string) string { return filepath.Join(d.sysfs, "block", name) }

// add makes a disk, which the kernel numbers unless the number is "".
func (d fakeDisks) add(name, number string) {
	d.Helper()
	if err := os.Mkdir(d.folder(name), 0o755); err != nil {
		d.Fatal(err)
	}
	if number != "" {
		if err := os.WriteFile(filepath.Join(d.folder(name), "diskseq"), []byte(number+"\n"), 0o600); err != nil {
			d.Fatal(err)
		}
	}
}

func (d fakeDisks) remove(name string) {
	d.Helper()
	if err := os.RemoveAll(d.folder(name)); err != nil {
		d.Fatal(err)
	}
}

// expect looks at the disks with these identities, and checks their labels and which of them are
// stale.
func (d fakeDisks) expect(owners Owners, want map[uint64]string, stale ...uint64) {
	d.Helper()
	raw := make(map[string]bool)
	for disk := range want {
		raw[rawDisk(disk)] = true
	}
	gone := owners.Look(raw)
	for _, disk := range slices.Sorted(maps.Keys(want)) {
		if got := owners.Label("device", rawDisk(disk)); got != want[disk] {
			d.Errorf("the label of %d is %q, want %q", disk, got, want[disk])
		}
		if got := gone[rawDisk(disk)]; got != slices.Contains(stale, disk) {
			d.Errorf("%d is stale: %v", disk, got)
		}
	}
}

func rawDisk(disk uint64) string { return string(binary.NativeEndian.AppendUint64(nil, disk)) }

// TestDisksSwap checks that two disks that come back in the other order have
// each other's number and name.
func TestDisksSwap(t *testing.T) {
	d := newFakeDisks(t)
	owners := NewDisks(d.sysfs)
	d.add("nvme0n1", "7")
	d.add("nvme1n1", "8")
	d.add("cciss!c0d0", "9")
	d.expect(owners, map[uint64]string{7: "nvme0n1", 8: "nvme1n1", 9: "cciss/c0d0"})
	d.remove("nvme0n1")
	d.remove("nvme1n1")
	d.expect(owners, map[uint64]string{7: "gone", 8: "gone", 9: "cciss/c0d0"})
	d.add("nvme0n1", "10")
	d.add("nvme1n1", "11")
	d.expect(owners, map[uint64]string{7: "gone", 8: "gone", 9: "cciss/c0d0", 10: "nvme0n1", 11: "nvme1n1"})
}

// TestDisksStaleLate checks that a disk is stale only when its last I/O has
// ended, and that it has no name until then: another disk may have it.
func TestDisksStaleLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFakeDisks(t)
		owners := NewDisks(d.sysfs)
		d.add("sda", "7")
		d.add("sdb", "8")
		d.expect(owners, map[uint64]string{7: "sda", 8: "sdb"})
		time.Sleep(time.Hour) // a disk that is there is not missing
		d.remove("sda")
		d.expect(owners, map[uint64]string{7: "gone", 8: "sdb", diskInode: "gone"})
		d.add("sda", "9")
		time.Sleep(endsWithin - 1)
		want := map[uint64]string{7: "gone", 8: "sdb", 9: "sda", diskInode: "gone"}
		d.expect(owners, want)
		time.Sleep(time.Nanosecond)
		d.expect(owners, want, 7)
		d.expect(owners, want, 7) // the first time, its rows could not be moved
		// They were moved, and then some I/O ended after all.
		d.expect(owners, map[uint64]string{8: "sdb", 9: "sda", diskInode: "gone"})
		d.expect(owners, want)
		time.Sleep(endsWithin)
		d.expect(owners, want, 7)
	})
}

// TestDisksLateUnread checks that a disk without a folder stays gone, and is
// not stale, while sysfs cannot be read.
func TestDisksLateUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFakeDisks(t)
		owners := NewDisks(d.sysfs)
		want := map[uint64]string{7: "gone", diskInode: "gone"}
		d.expect(owners, want)
		time.Sleep(endsWithin)
		block := filepath.Join(d.sysfs, "block")
		if err := os.Rename(block, block+"-away"); err != nil {
			t.Fatal(err)
		}
		d.expect(owners, want)
		if err := os.Rename(block+"-away", block); err != nil {
			t.Fatal(err)
		}
		d.expect(owners, want, 7)
	})
}

// TestDisksWithoutNumbers checks that the folder of a disk identifies it before
// Linux 5.15.
func TestDisksWithoutNumbers(t *testing.T) {
	d := newFakeDisks(t)
	owners := NewDisks(d.sysfs)
	d.add("sda", "")
	d.add("nvme0c0n1", "")
	identify := func(name string) uint64 {
		t.Helper()
		disk, err := diskIdentity(d.folder(name))
		if err != nil || disk>>63 != 1 {
			t.Fatalf("the identity of %s is %#x: %v", name, disk, err)
		}
		return disk
	}
	sda, path := identify("sda"), identify("nvme0c0n1")
	// Nobody numbers a disk like an inode, and a folder that is removed has none.
	d.expect(owners, map[uint64]string{sda: "sda", path: "nvme0c0n1", sda &^ diskInode: "gone", diskInode: "gone"})
	d.remove("sda")
	d.expect(owners, map[uint64]string{sda: "gone", path: "nvme0c0n1"})
}

// TestDisksUnread checks that no disk is stale if sysfs cannot be read.
func TestDisksUnread(t *testing.T) {
	d := newFakeDisks(t)
	d.add("sda", "7")
	d.add("sdb", "8")
	owners := NewDisks(d.sysfs)
	d.expect(owners, map[uint64]string{7: "sda", 8: "sdb"})
	d.remove("sdb")
	// A number that cannot be read, and then a folder that cannot.
	for _, spoil := range []func() error{
		func() error {
			return os.WriteFile(filepath.Join(d.folder("sda"), "diskseq"), []byte("many\n"), 0o600)
		},
		func() error { return os.RemoveAll(filepath.Join(d.sysfs, "block")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		d.expect(owners, map[uint64]string{7: "sda", 8: "sdb", 9: "id:9", diskInode | 10: "id:10", diskInode: "gone"})
	}
}

// TestDisksOfThisMachine checks that the disks of this machine have their
// names, and that its partitions are none.
func TestDisksOfThisMachine(t *testing.T) {
	entries, err := os.ReadDir("/sys/block")
	if err != nil {
		t.Fatal(err)
	}
	owners := Disks()
	owners.Look(map[string]bool{rawDisk(0): true}) // no disk has this identity, so it looks at all
	for _, e := range entries {
		disk, err := diskIdentity(filepath.Join("/sys/block", e.Name()))
		if err != nil {
			t.Logf("%s has gone: %v", e.Name(), err)
			continue
		}
		got := owners.Label("device", rawDisk(disk))
		if strings.HasPrefix(e.Name(), "loop") && got == "id:"+strconv.FormatUint(disk, 10) {
			continue // others attach and detach it
		}
		if got != strings.ReplaceAll(e.Name(), "!", "/") {
			t.Errorf("the label of %s is %q", e.Name(), got)
		}
	}
	for _, name := range owners.(*disks).names {
		if _, err := os.Stat(filepath.Join("/sys/class/block", name, "partition")); err == nil {
			t.Errorf("%s is a partition", name)
		}
	}
}
