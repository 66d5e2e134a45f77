// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine describes the machine on which the numbers were measured.
type Machine struct {
	Processor  string
	CPUs       int
	Kernel     string
	Go         string
	Hypervisor bool
	// LoadBefore and LoadAfter are the load averages of the minute before the run began and ended.
	LoadBefore, LoadAfter string
}

// describeMachine returns the description of this machine.
func describeMachine() (Machine, error) {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), LoadBefore: load()}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return m, fmt.Errorf("asking for the kernel's release: %w", err)
	}
	m.Kernel = fmt.Sprintf("%s %s", unix.ByteSliceToString(uts.Release[:]), unix.ByteSliceToString(uts.Machine[:]))
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	m.Processor = cpuinfo(string(info), "model name")
	if m.Processor == "" { // arm64
		m.Processor = "implementer " + cpuinfo(string(info), "CPU implementer") + ", part " + cpuinfo(string(info), "CPU part")
	}
	m.Hypervisor = strings.Contains(cpuinfo(string(info), "flags"), " hypervisor")
	return m, nil
}

// busy returns a remark that other processes used the CPUs when the run began, or "" if they did
// not.
func (m *Machine) busy() string {
	before, err := strconv.ParseFloat(m.LoadBefore, 64)
	if err != nil || before < float64(m.CPUs) {
		return ""
	}
	return fmt.Sprintf("; the machine was busy, load average %s on %d CPUs", m.LoadBefore, m.CPUs)
}

// cpuinfo returns the first value of a name in /proc/cpuinfo, or "".
func cpuinfo(info, name string) string {
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load returns the load average of the last minute, or "?" if it cannot be read.
func load() string {
	average, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	minute, _, _ := strings.Cut(string(average), " ")
	return minute
}
