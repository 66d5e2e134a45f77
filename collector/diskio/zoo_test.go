// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// The kinds of disk that the kernel makes of nothing, each until the test ends.

// settings writes values to files in a folder, in order.
func settings(t testing.TB, folder string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		write(t, filepath.Join(folder, pairs[i]), pairs[i+1])
	}
}

// folder makes one in configfs, which makes the thing it stands for.
func folder(t testing.TB, path string) string {
	t.Helper()
	const configfs = "/sys/kernel/config"
	if err := unix.Mount("none", configfs, "configfs", 0, ""); err != nil && err != unix.EBUSY {
		t.Fatalf("mounting configfs: %v", err)
	}
	path = filepath.Join(configfs, path)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	return path
}

// nullBlk completes after "delay"; options are further attributes.
func nullBlk(t testing.TB, name string, delay time.Duration, options ...string) disk {
	t.Helper()
	kerneltest.LoadModule(t, "null_blk", "nr_devices=0")
	config := folder(t, "nullb/"+name)
	pairs := []string{"size", "64", "irqmode", "1"}
	if delay > 0 {
		pairs = []string{"size", "64", "irqmode", "2", "completion_nsec", fmt.Sprint(delay.Nanoseconds())}
	}
	settings(t, config, append(pairs, options...)...)
	write(t, filepath.Join(config, "power"), "1")
	t.Cleanup(func() { write(t, filepath.Join(config, "power"), "0") })
	// Older kernels number the disk.
	for _, d := range []disk{{name}, {"nullb" + read(t, filepath.Join(config, "index"))}} {
		if _, err := os.Stat(d.sysfs("")); err == nil {
			return d
		}
	}
	t.Fatalf("null_blk made no disk of %s", config)
	return disk{}
}

// mapped makes a device mapper disk: "kind" and what follows the offset and
// the length in its table.
func mapped(t testing.TB, name, kind, rest string, sectors int) disk {
	t.Helper()
	kerneltest.LoadModule(t, "dm-mod")
	kerneltest.Command(t, "dmsetup", "create", name, "--noudevsync", "--table", fmt.Sprintf("0 %d %s %s", sectors, kind, rest))
	t.Cleanup(func() { kerneltest.Command(t, "dmsetup", "remove", "--noudevsync", name) })
	minor := strings.TrimSpace(kerneltest.Command(t, "dmsetup", "info", "-c", "--noheadings", "-o", "minor", name))
	return disk{"dm-" + minor}
}

// sectors is the disk's size, in units of 512 bytes.
func (d disk) sectors(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(read(t, d.sysfs("size")))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func zram(t testing.TB) disk {
	t.Helper()
	kerneltest.LoadModule(t, "zram", "num_devices=1")
	d := disk{"zram0"}
	write(t, d.sysfs("disksize"), "8M")
	t.Cleanup(func() { write(t, d.sysfs("reset"), "1") })
	return d
}

func ramDisk(t testing.TB) disk {
	t.Helper()
	kerneltest.LoadModule(t, "brd", "rd_nr=1", "rd_size=8192")
	return disk{"ram0"}
}

// scsi makes a SCSI disk that its own driver imitates. The folder takes the
// driver's options while it runs.
func scsi(t testing.TB) (d disk, options string) {
	t.Helper()
	kerneltest.LoadModule(t, "sd_mod")
	kerneltest.LoadModule(t, "scsi_debug", "delay=0", "ndelay=100000", "dev_size_mb=8")
	options = "/sys/bus/pseudo/drivers/scsi_debug"
	kerneltest.Until(t, "a SCSI disk appears", func() error {
		found, err := filepath.Glob(options + "/adapter0/host*/target*/*/block/*")
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 || strings.HasPrefix(read(t, filepath.Join(found[0], "stat")), "0 ") {
			return errors.New("none that was read")
		}
		d.name = filepath.Base(found[0])
		return nil
	})
	return d, options
}

// raid makes an md array without metadata of two disks.
func raid(t testing.TB, name, level string, members [2]disk) disk {
	t.Helper()
	kerneltest.LoadModule(t, "md_mod")
	kerneltest.LoadModule(t, level)
	write(t, "/sys/module/md_mod/parameters/new_array", name)
	d := disk{name}
	md := d.sysfs("md")
	settings(t, md, "metadata_version", "none", "level", level, "raid_disks", "2", "chunk_size", "65536",
		"component_size", fmt.Sprint(members[0].sectors(t)/2))
	for slot, m := range members {
		write(t, filepath.Join(md, "new_dev"), read(t, m.sysfs("dev")))
		settings(t, filepath.Join(md, "dev-"+m.name),
			"size", fmt.Sprint(m.sectors(t)/2), "slot", fmt.Sprint(slot))
	}
	if level == "raid1" {
		write(t, filepath.Join(md, "resync_start"), "none") // they are alike
	}
	write(t, filepath.Join(md, "array_state"), "active")
	t.Cleanup(func() { write(t, filepath.Join(md, "array_state"), "clear") })
	open(t, d, os.O_RDONLY) // the first time, the kernel looks for partitions
	return d
}

// nvmeTargets makes NVMe subsystems of the kernel's own target, one for each
// disk, and returns their names.
func nvmeTargets(t testing.TB, backing ...disk) (names []string) {
	t.Helper()
	kerneltest.LoadModule(t, "nvme-tcp")
	kerneltest.LoadModule(t, "nvmet-tcp")
	port := folder(t, "nvmet/ports/1")
	settings(t, port, "addr_trtype", "tcp", "addr_adrfam", "ipv4", "addr_traddr", "127.0.0.1", "addr_trsvcid", "4420")
	for i, b := range backing {
		name := fmt.Sprint("kernscope-test-", i)
		subsystem := folder(t, "nvmet/subsystems/"+name)
		write(t, filepath.Join(subsystem, "attr_allow_any_host"), "1")
		settings(t, folder(t, "nvmet/subsystems/"+name+"/namespaces/1"), "device_path", b.path(), "enable", "1")
		link := filepath.Join(port, "subsystems", name)
		if err := os.Symlink(subsystem, link); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(link) })
		names = append(names, name)
	}
	return names
}

// multipath makes an NVMe disk with two paths, backed by a disk. The names of
// the paths are returned, too.
func multipath(t testing.TB, backing disk) (head disk, paths []disk) {
	t.Helper()
	return connect(t, nvmeTargets(t, backing)[0], 2)
}

// connect makes a disk with so many paths of an NVMe subsystem. A slow machine's
// target may answer late.
func connect(t testing.TB, name string, paths int) (head disk, found []disk) {
	t.Helper()
	for range paths {
		kerneltest.Until(t, "the NVMe target answers", func() error {
			return os.WriteFile("/dev/nvme-fabrics", []byte("transport=tcp,traddr=127.0.0.1,trsvcid=4420,duplicate_connect,nqn="+name+
				",hostnqn=nqn.2014-08.org.nvmexpress:uuid:8f3a1c52-6b0e-4d7f-9a53-0d4c2b7e1f60,hostid=8f3a1c52-6b0e-4d7f-9a53-0d4c2b7e1f60"), 0)
		})
	}
	t.Cleanup(func() { disconnect(t, name) })
	kerneltest.Until(t, "an NVMe disk appears", func() error {
		// The paths are nvme0c0n1 and nvme0c1n1, the head is nvme0n1.
		head, found = disk{}, nil
		for _, f := range nvme(t, "/sys/block/nvme*n1", "device/subsysnqn", name) {
			if name := filepath.Base(f); strings.Count(name, "c") > 0 {
				found = append(found, disk{name})
			} else if _, err := os.Stat("/dev/" + name); err == nil {
				head = disk{name}
			}
		}
		if head.name != "" && len(found) == paths {
			return nil
		}
		return fmt.Errorf("head %v, paths %v", head, found)
	})
	return head, found
}

// disconnect removes the disk of an NVMe subsystem, if it is there.
func disconnect(t testing.TB, name string) {
	t.Helper()
	for _, c := range nvme(t, "/sys/class/nvme/nvme*", "subsysnqn", name) {
		write(t, filepath.Join(c, "delete_controller"), "1")
	}
	kerneltest.Until(t, "the NVMe disk is removed", func() error {
		if left := nvme(t, "/sys/block/nvme*", "device/subsysnqn", name); left != nil {
			return fmt.Errorf("there are %v", left)
		}
		return nil
	})
}

// nvme returns the folders whose file names the subsystem.
func nvme(t testing.TB, pattern, file, name string) (folders []string) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if nqn, err := os.ReadFile(filepath.Join(f, file)); err == nil && strings.TrimSpace(string(nqn)) == name {
			folders = append(folders, f)
		}
	}
	return folders
}
