// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// BlockDevice returns a decoder that names a block device by its number, a dev_t inside the kernel:
// "sda", "nvme0n1", "dm-0". If no device has the number at the moment, the name is "MAJOR:MINOR".
// No device ever has the number 0, so that is the overflow row, [Other].
func BlockDevice() Decoder {
	return NewBlockDevice("/sys", "/proc/diskstats")
}

// NewBlockDevice returns the decoder [BlockDevice] for another sysfs and another list of disks.
func NewBlockDevice(sysfs, diskstats string) Decoder {
	d := &blockDevice{sysfs: sysfs, diskstats: diskstats, names: make(map[uint64]string)}
	return numeric(d.name)
}

// blockDeviceFresh is how long the decoder trusts the names that it has read. It is shorter than
// unplugging one device and plugging in another, which gets the number, can take. A scrape asks for
// a device a few times within a millisecond or two and so reads one link; the next scrape asks sysfs
// again.
const blockDeviceFresh = 5 * time.Millisecond

type blockDevice struct {
	sysfs     string
	diskstats string
	names     map[uint64]string // by number, none older than read
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

// lookup returns the name that the kernel gives a device. sysfs links every number to its device's
// folder. Disks without a device file are only in the kernel's list of disks; the paths of an NVMe
// disk with several paths are such disks.
func (d *blockDevice) lookup(dev uint64) string {
	// Inside the kernel, a minor number has 20 bits. The dev_t of user space differs.
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
