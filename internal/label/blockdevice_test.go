// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSysfs returns a sysfs with the given links from numbers to devices.
func fakeSysfs(t *testing.T, links map[string]string) string {
	t.Helper()
	sysfs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(sysfs, "dev/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	for number, target := range links {
		link(t, sysfs, number, target)
	}
	return sysfs
}

// link makes the number point to the device at target, or to nothing if target is "".
func link(t *testing.T, sysfs, number, target string) {
	t.Helper()
	path := filepath.Join(sysfs, "dev/block", number)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if target == "" {
		return
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestBlockDevice(t *testing.T) {
	sysfs := fakeSysfs(t, map[string]string{
		"8:0":       "../../devices/pci0000:00/0000:00:1f.2/ata1/host0/block/sda",
		"8:17":      "../../devices/pci0000:00/0000:00:1f.2/ata2/host1/block/sdb/sdb1",
		"253:3":     "../../devices/virtual/block/dm-3",
		"259:70000": "../../devices/pci0000:00/0000:02:00.0/nvme/nvme0/nvme0n1",
		"104:0":     "../../devices/pci0000:00/0000:03:00.0/cciss0/c0d0/block/cciss!c0d0",
	})
	diskstats := filepath.Join(t.TempDir(), "diskstats")
	list := " 259       5 nvme0c0n1 44 0 472 220\n 259       6 nvme0n1 54 0 472 168\n"
	if err := os.WriteFile(diskstats, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	testNumbers(t, NewBlockDevice(sysfs, diskstats), []numberCase{
		{0, "other"},
		{259<<20 | 5, "nvme0c0n1"},
		{8 << 20, "sda"},
		{8<<20 | 17, "sdb1"},
		{253<<20 | 3, "dm-3"},
		{259<<20 | 70000, "nvme0n1"},
		{104 << 20, "cciss/c0d0"},
		{7<<20 | (1<<20 - 1), "7:1048575"},
		{4095<<20 | 2, "4095:2"},
	})
}

// If the kernel gives a number to another device, the decoder must not keep the old name. A scrape
// must look up each device only once.
func TestBlockDeviceIsReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sysfs := fakeSysfs(t, map[string]string{"259:1": "../../devices/nvme0n1"})
		d := NewBlockDevice(sysfs, filepath.Join(sysfs, "no diskstats"))
		dev := field(t, 259<<20|1, 4)
		check := func(want string) {
			t.Helper()
			if got := d.Label(dev); got != want {
				t.Errorf("label is %q, want %q", got, want)
			}
		}
		check("nvme0n1")
		link(t, sysfs, "259:1", "")
		check("nvme0n1")
		time.Sleep(blockDeviceFresh)
		check("259:1")
		link(t, sysfs, "259:1", "../../devices/nvme4n2")
		time.Sleep(blockDeviceFresh)
		check("nvme4n2")
	})
}

// The decoder gives every disk of this machine the name that the kernel gives it.
func TestBlockDeviceAgainstDiskstats(t *testing.T) {
	stats, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		t.Fatal(err)
	}
	d := BlockDevice()
	for line := range strings.Lines(string(stats)) {
		f := strings.Fields(line)
		major, errMajor := strconv.ParseUint(f[0], 10, 12)
		minor, errMinor := strconv.ParseUint(f[1], 10, 20)
		if errMajor != nil || errMinor != nil {
			t.Fatalf("no device number in %q", line)
		}
		if got := d.Label(field(t, major<<20|minor, 4)); got != f[2] {
			t.Errorf("label of %d:%d is %q, want %q", major, minor, got, f[2])
		}
	}
}
