// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// BlockDevice names a block device by its number, a dev_t inside the kernel:
// "sda", "nvme0n1", "dm-0". A number that no device has at the moment reads
// "MAJOR:MINOR", and no device has the number 0, so that reads [Other].
func BlockDevice() Decoder {
	return NewBlockDevice("/sys", "/proc/diskstats")
}

// NewBlockDevice is [BlockDevice] for a sysfs and a list of disks elsewhere.
func NewBlockDevice(sysfs, diskstats string) Decoder {
	d := &blockDevice{sysfs: sysfs, diskstats: diskstats, names: make(map[uint64]string)}
	return numeric(d.name)
}

// blockDeviceFresh is how long names are believed. Numbers are given to other
// devices after an unplug, so it is short: a scrape asks for a device several
// times within milliseconds and pays for one link read, the next scrape asks
// sysfs again.
const blockDeviceFresh = 100 * time.Millisecond

type blockDevice struct {
	sysfs     string
	diskstats string
	names     map[uint64]string // as of read
	read      time.Time
}

func (d *blockDevice) name(dev uint64) string {
	if dev == 0 {
		return Other
	}
	if now := time.Now(); now.Sub(d.read) >= blockDeviceFresh {
		clear(d.names)
		d.read = now
	}
	name, ok := d.names[dev]
	if !ok {
		name = d.lookup(dev)
		d.names[dev] = name
	}
	return name
}

// lookup asks sysfs, which links every number to its device's folder. Disks
// without a device file, the paths of an NVMe disk with several, are only in
// the kernel's list of disks.
func (d *blockDevice) lookup(dev uint64) string {
	// The kernel keeps 20 bits of minor number; user space's dev_t differs.
	major, minor := fmt.Sprint(dev>>20), fmt.Sprint(dev&(1<<20-1))
	if link, err := os.Readlink(filepath.Join(d.sysfs, "dev/block", major+":"+minor)); err == nil {
		// sysfs writes "cciss!c0d0" for the name "cciss/c0d0".
		return strings.ReplaceAll(filepath.Base(link), "!", "/")
	}
	disks, err := os.ReadFile(d.diskstats)
	if err != nil {
		disks = nil
	}
	for line := range strings.Lines(string(disks)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == major && f[1] == minor {
			return f[2]
		}
	}
	return major + ":" + minor
}
