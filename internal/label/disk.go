// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Disks returns the machine's disks, by the identity that collector/diskio/disk.bpf.h gives them. A
// disk's label is its name in /sys/block: "sda", "nvme0n1", "dm-0". The label of a disk that is not
// there reads [Gone], whoever has its number and its name now. The disk is stale a minute later: the
// kernel removes the folder before it waits for the I/O that is under way.
func Disks() Owners {
	return NewDisks("/sys")
}

// NewDisks returns [Disks] for another sysfs.
func NewDisks(sysfs string) Owners {
	return &disks{folder: filepath.Join(sysfs, "block")}
}

// diskInode marks the identity of a disk that the kernel does not number, before Linux 5.15. The rest
// is the inode of its folder in sysfs, or 0 after the kernel has removed the folder. All disks without
// a folder share the identity of inode 0, and more I/O of any may end at any time. So it is never stale.
const diskInode = 1 << 63

// endsWithin is how long after a disk's folder its last I/O ends: longer than the 30 seconds after
// which drivers give a command up. I/O that ends later still is counted in a row that is added anew,
// unless it ends in the very moment in which the rows move.
const endsWithin = time.Minute

type disks struct {
	folder  string
	names   map[uint64]string    // of all disks' folders, as list last saw them
	missing map[uint64]time.Time // disks that were asked about and had no folder, and since when
}

func (d *disks) Look(raw map[string]bool) map[string]bool {
	if !d.areThere(raw) {
		names, err := d.list()
		if err != nil {
			return nil // nothing is certain
		}
		d.names = names
	}
	now := time.Now()
	missing := make(map[uint64]time.Time)
	gone := make(map[string]bool)
	for r := range raw {
		disk := diskOf(r)
		if _, there := d.names[disk]; there {
			continue
		}
		since, known := d.missing[disk]
		if !known {
			since = now
		}
		missing[disk] = since
		if disk != diskInode && now.Sub(since) >= endsWithin {
			gone[r] = true
		}
	}
	d.missing = missing
	return gone
}

// areThere reports whether each of the disks that has a folder is still in that in which it was last
// time. A machine may have many more disks than have done I/O.
func (d *disks) areThere(raw map[string]bool) bool {
	for r := range raw {
		if diskOf(r) == diskInode {
			continue
		}
		name, known := d.names[diskOf(r)]
		if !known {
			return false
		}
		if disk, err := diskIdentity(filepath.Join(d.folder, name)); err != nil || disk != diskOf(r) {
			return false
		}
	}
	return true
}

func (d *disks) Label(_, raw string) string {
	disk := diskOf(raw)
	if _, missing := d.missing[disk]; missing || disk == diskInode {
		return Gone
	}
	if name, there := d.names[disk]; there {
		return Name(strings.ReplaceAll(name, "!", "/")) // sysfs writes "cciss!c0d0" for the name "cciss/c0d0"
	}
	return fmt.Sprintf("id:%d", disk&^diskInode) // sysfs could not be read
}

// list returns the names of all disks' folders by the identity of the disk. sysfs has every whole
// disk there, also those without a device file, and no partition.
func (d *disks) list() (map[uint64]string, error) {
	entries, err := os.ReadDir(d.folder)
	if err != nil {
		return nil, err
	}
	var sysfs, here unix.Stat_t
	if err := errors.Join(unix.Stat(filepath.Dir(d.folder), &sysfs), unix.Stat(d.folder, &here)); err != nil {
		return nil, err
	}
	if sysfs.Dev != here.Dev {
		return nil, fmt.Errorf("something else is mounted on %s", d.folder)
	}
	names := make(map[uint64]string, len(entries))
	for _, e := range entries {
		disk, err := diskIdentity(filepath.Join(d.folder, e.Name()))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // it has just left
		}
		if err != nil {
			return nil, err
		}
		names[disk] = e.Name()
	}
	return names, nil
}

// diskIdentity returns the identity of the disk whose folder in sysfs this is.
func diskIdentity(folder string) (uint64, error) {
	number, err := os.ReadFile(filepath.Join(folder, "diskseq"))
	if err == nil {
		return strconv.ParseUint(strings.TrimSpace(string(number)), 10, 64)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: folder, Err: err}
	}
	return diskInode | stat.Ino, nil
}

func diskOf(raw string) uint64 { return binary.NativeEndian.Uint64([]byte(raw)) }
