// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// softwareEvents are the events of perf that programs may attach to, by what
// follows "perf_event/" in their section's name: perf's own names.
var softwareEvents = map[string]uint64{
	"minor-faults": unix.PERF_COUNT_SW_PAGE_FAULTS_MIN,
	"major-faults": unix.PERF_COUNT_SW_PAGE_FAULTS_MAJ,
}

// SoftwareEvent returns perf's number of a software event, of one that we know.
func SoftwareEvent(name string) (uint64, bool) {
	number, ok := softwareEvents[name]
	return number, ok
}

// OpenSoftwareEvent opens a software event of perf on a CPU, for all tasks, so
// that a program attached to it runs at every occurrence. ENODEV means that the
// CPU is off, EINVAL that the kernel cannot have so many.
func OpenSoftwareEvent(number uint64, cpu int) (int, error) {
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_SOFTWARE,
		Size:   unix.PERF_ATTR_SIZE_VER0,
		Config: number,
		Sample: 1, // a sample for every occurrence
	}
	return unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
}

// PerfEvents says whether this process may watch software events of perf in
// all tasks. It tries, and explains a refusal.
func (m *Machine) PerfEvents() Finding {
	return m.once("perf events", func() Finding {
		fd, err := -1, error(unix.ENODEV)
		for cpu := 0; errors.Is(err, unix.ENODEV); cpu++ { // until one is on
			fd, err = OpenSoftwareEvent(unix.PERF_COUNT_SW_DUMMY, cpu)
		}
		switch {
		case err == nil:
			unix.Close(fd)
			return yes()
		case errors.Is(err, unix.ENOSYS):
			return no("the kernel has no perf_event_open(2), or a seccomp filter hides it",
				"run a kernel with CONFIG_PERF_EVENTS=y, outside of a container whose seccomp profile refuses perf_event_open(2)")
		case errors.Is(err, unix.EACCES) && paranoid() > 2:
			return no(fmt.Sprintf("perf_event_open: %v: with kernel.perf_event_paranoid=%d, a level that distributions add, it takes CAP_SYS_ADMIN", err, paranoid()),
				PermitPerf()).denied()
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
			return no(fmt.Sprintf("perf_event_open: %v", err), PermitPerf()).denied()
		}
		return Finding{Reason: fmt.Sprintf("perf_event_open: %v", err)}
	})
}

// PerfCapability returns what opening events of perf takes.
func PerfCapability() string {
	if paranoid() > 2 {
		return "CAP_SYS_ADMIN"
	}
	return "CAP_PERFMON"
}

// PermitPerf returns what helps if the kernel refused to open an event of perf.
func PermitPerf() string {
	remedy := Grant(PerfCapability())
	if paranoid() > 2 {
		remedy = "sysctl kernel.perf_event_paranoid=2, or " + remedy
	}
	return remedy
}

// paranoid returns the level of kernel.perf_event_paranoid (Documentation/admin-guide/
// sysctl/kernel.rst, which knows levels up to 2), 0 if there is none.
func paranoid() int {
	text, err := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	if err != nil {
		return 0
	}
	level, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return level
}
