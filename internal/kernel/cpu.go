// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpuFolder has a folder for each CPU.
const cpuFolder = "/sys/devices/system/cpu"

// OnlineCPUs returns the CPUs that are online, ascending; there is at least one.
func OnlineCPUs() ([]int, error) { return files("").onlineCPUs() }

func (f files) onlineCPUs() ([]int, error) {
	online, err := f.cpus("online")
	if err != nil {
		return nil, err
	}
	present, err := f.cpus("present")
	if err != nil {
		return nil, err
	}
	// In a container, lxcfs may show a list of the container's CPUs only, while
	// what is counted happens on all. What the kernel says of each is not
	// changed.
	for _, cpu := range present {
		if !slices.Contains(online, cpu) && f.isOnline(cpu) {
			online = append(online, cpu)
		}
	}
	slices.Sort(online)
	return online, nil
}

// cpus returns a list of CPUs that the kernel keeps.
func (f files) cpus(list string) ([]int, error) {
	text, err := os.ReadFile(f.path(cpuFolder + "/" + list))
	if err != nil {
		return nil, fmt.Errorf("listing CPUs: %w", err)
	}
	cpus, err := parseCPUs(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("parsing %s/%s: %w", cpuFolder, list, err)
	}
	return cpus, nil
}

// isOnline reports whether the CPU is online. One that cannot be put offline
// has no file that says so.
func (f files) isOnline(cpu int) bool {
	folder := fmt.Sprintf("%s/cpu%d", cpuFolder, cpu)
	if state := f.line(folder + "/online"); state != "" {
		return state == "1"
	}
	return f.inode(folder+"/topology") != 0
}

// CPUPeriod numbers the times for which a CPU is on: each has another number
// than those before. It is the inode of a folder that the kernel makes when the
// CPU comes on and removes when it goes off.
func CPUPeriod(cpu int) (uint64, error) {
	var stat unix.Stat_t
	folder := fmt.Sprintf("%s/cpu%d/topology", cpuFolder, cpu)
	if err := unix.Stat(folder, &stat); err != nil {
		return 0, fmt.Errorf("looking at %s: %w", folder, err)
	}
	return stat.Ino, nil
}

// parseCPUs reads a list as the kernel writes it: "0-2,4", ascending. A container
// may bring its own file, so the list is also checked: no kernel has as many CPUs
// as 16 bits can number.
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	next := uint64(0) // the first that may follow
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 16)
		if err != nil {
			return nil, err
		}
		last, err := strconv.ParseUint(high, 10, 16)
		if err != nil {
			return nil, err
		}
		if first < next || last < first {
			return nil, fmt.Errorf("%q is not ascending", list)
		}
		for next = first; next <= last; next++ {
			cpus = append(cpus, int(next))
		}
	}
	return cpus, nil
}
