// SPDX-License-Identifier: Apache-2.0

package label

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWalkSaysWhatItDoesNotSee walks a folder that has a path of more bytes than a path may have,
// and one over a part of which something else is mounted.
func TestWalkSaysWhatItDoesNotSee(t *testing.T) {
	walk := func(point string) bool {
		return cgroupMount{point: point, root: "/"}.walk(map[uint64]bool{1: true}, func(uint64, string, string) {})
	}
	point := t.TempDir()
	if err := os.Mkdir(filepath.Join(point, "jobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if !walk(point) {
		t.Error("a walk did not look everywhere in a folder of one")
	}

	over := filepath.Join(point, "jobs")
	if err := unix.Mount("none", over, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if walk(point) {
		t.Error("a walk looked everywhere, although something else is mounted there")
	}
	if err := unix.Unmount(over, 0); err != nil {
		t.Fatal(err)
	}

	// Each folder is made in the last one.
	at, err := unix.Open(point, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 250)
	for range unix.PathMax/len(name) + 1 {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	unix.Close(at)
	if walk(point) {
		t.Error("a walk looked everywhere, although a path was too long")
	}
}

// TestDisksBehindAnotherMount: where something else is mounted in place of the list of disks,
// nothing is known to be gone.
func TestDisksBehindAnotherMount(t *testing.T) {
	d := newFakeDisks(t)
	d.add("sda", "7")
	owners := NewDisks(d.sysfs)
	raw := map[string]bool{rawDisk(7): true, rawDisk(8): true}
	owners.Look(raw)
	folder := filepath.Join(d.sysfs, "block")
	if err := unix.Mount("none", folder, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	if gone := owners.Look(raw); len(gone) > 0 || owners.Label("device", rawDisk(7)) != "sda" {
		t.Errorf("%d disks are gone, and the label of one that is there is %q", len(gone), owners.Label("device", rawDisk(7)))
	}
}
