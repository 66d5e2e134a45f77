// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// The devices of the workloads.
const (
	diskBytes   = 16 << 20
	diskRequest = 4 << 10 // also the size of the devices' sectors
)

// loopDevice makes a block device in memory and opens it with the additional flags. The device
// disappears when the caller closes it.
func loopDevice(flags int) (*os.File, error) {
	// The backing file is in memory, because a file on a disk would cause I/O to that disk, too.
	backing, err := kerneltest.MemoryFile(diskBytes)
	if err != nil {
		return nil, err
	}
	defer backing.Close() // the device keeps the file
	if _, err := backing.Write(make([]byte, diskBytes)); err != nil {
		return nil, err
	}
	device, err := kerneltest.AttachLoop(backing.Fd(), diskRequest, flags)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: it has no loop devices: %w", errUnsupported, err)
	}
	return device, err
}

// block returns a device's folder in sysfs.
func block(device *os.File) string {
	return filepath.Join("/sys/block", filepath.Base(device.Name()))
}

// reads returns the kernel's count of a device's completed reads.
func reads(device *os.File) (uint64, error) {
	stat, err := os.ReadFile(filepath.Join(block(device), "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat))
	if len(fields) == 0 {
		return 0, fmt.Errorf("%s has no statistics", device.Name())
	}
	return strconv.ParseUint(fields[0], 10, 64)
}

// onDevice returns the labels of a device's I/O.
func onDevice(device *os.File) map[string]string {
	return map[string]string{"device": filepath.Base(device.Name())}
}
