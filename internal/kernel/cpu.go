// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpuFolder has a folder for each CPU.
const cpuFolder = "/sys/devices/system/cpu"

// OnlineCPUs returns the CPUs that are on, each with a number of the time for
// which it is: each time has another number than those before. It reports false
// if not the kernel shows the CPUs. In a container, lxcfs may show other files
// in their place: of the container's CPUs alone, while what is counted happens
// on all, and with numbers that mean nothing.
func OnlineCPUs() (map[int]uint64, bool) { return files("").onlineCPUs() }

// onlineCPUs takes the inode of a folder that the kernel makes when the CPU comes
// on and removes when it goes off. No list of CPUs says more.
func (f files) onlineCPUs() (map[int]uint64, bool) {
	entries, err := os.ReadDir(f.path(cpuFolder))
	if err != nil || !f.areKernels(cpuFolder) {
		return nil, false
	}
	on := make(map[int]uint64)
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "cpu")
		cpu, err := strconv.Atoi(digits)
		if !ok || err != nil {
			continue
		}
		folder := fmt.Sprintf("%s/%s", cpuFolder, e.Name())
		topology := folder + "/topology"
		if !f.areKernels(folder) {
			return nil, false
		}
		if number := f.inode(topology); number != 0 {
			if !f.areKernels(topology) {
				return nil, false
			}
			on[cpu] = number
		}
	}
	return on, len(on) > 0
}

// areKernels reports whether a folder below /sys is of the same file system, and
// so no other was mounted over it.
func (f files) areKernels(folder string) bool {
	var sys, here unix.Stat_t
	return unix.Stat(f.path("/sys"), &sys) == nil && unix.Stat(f.path(folder), &here) == nil && sys.Dev == here.Dev
}
