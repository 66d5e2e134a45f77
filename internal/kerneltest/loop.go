// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const loopControl = "/dev/loop-control"

// AttachLoop returns an open loop device on the file of a descriptor. The
// device goes when it is closed, or when the process dies. flags are for
// opening it besides O_RDWR; sector is the size of its sectors, 0 for the
// usual. The error is fs.ErrNotExist where there are no loop devices.
func AttachLoop(backing uintptr, sector uint32, flags int) (*os.File, error) {
	control, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: load the module loop", err)
	}
	defer control.Close()
	for range 1000 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("asking for a free loop device: %w", err)
		}
		device, err := configureLoop(fmt.Sprintf("/dev/loop%d", n), backing, sector, flags)
		if !errors.Is(err, unix.EBUSY) { // else somebody has found the same one free
			return device, err
		}
	}
	return nil, errors.New("others take every free loop device")
}

func configureLoop(path string, backing uintptr, sector uint32, flags int) (*os.File, error) {
	device, err := os.OpenFile(path, os.O_RDWR|flags, 0)
	if err != nil {
		return nil, err
	}
	// udev does not read a locked disk whenever somebody has written to it.
	if err = unix.Flock(int(device.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		err = unix.EBUSY
	}
	if err == nil {
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{
			Fd: uint32(backing), Size: sector, Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR},
		})
	}
	if err != nil {
		device.Close()
		return nil, fmt.Errorf("attaching %s: %w", path, err)
	}
	return device, nil
}

// MemoryFile returns a file of so many bytes in memory, which may be sealed. On
// a disk of it no other disk takes part.
func MemoryFile(size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate("kernscope-test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "kernscope-test")
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, fmt.Errorf("sizing a file in memory: %w", err)
	}
	return f, nil
}

// MemoryDisk returns a loop device of so many bytes in memory, and the file
// that holds them, until the test ends or dies.
func MemoryDisk(t testing.TB, size int64) (device, backing *os.File) {
	t.Helper()
	backing, err := MemoryFile(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backing.Close() })
	return LoopDisk(t, backing), backing
}

// LoopDisk returns a loop device on a file, until the test ends or dies.
func LoopDisk(t testing.TB, backing *os.File) *os.File {
	t.Helper()
	if _, err := os.Stat(loopControl); errors.Is(err, fs.ErrNotExist) {
		LoadModule(t, "loop")
	}
	device, err := AttachLoop(backing.Fd(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	return device
}

// FileSystem returns a folder of a new file system on a disk of so many bytes
// in memory, until the test ends. mkfs is the command that makes it, without
// the device: "mkfs.ext4", "-q".
func FileSystem(t testing.TB, size int64, mkfs ...string) string {
	t.Helper()
	kind, dir := strings.TrimPrefix(mkfs[0], "mkfs."), filepath.Join(t.TempDir(), "root")
	device, _ := MemoryDisk(t, size)
	Command(t, mkfs[0], append(mkfs[1:len(mkfs):len(mkfs)], device.Name())...)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_ = Modprobe(kind) // or it is built in: mounting says so
	if err := unix.Mount(device.Name(), dir, kind, 0, ""); err != nil {
		t.Fatalf("mounting %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", kind, err)
		}
	})
	return dir
}
