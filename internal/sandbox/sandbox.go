// SPDX-License-Identifier: Apache-2.0

// Package sandbox forbids this process what it does not need any more. A filter
// of system calls (seccomp(2)) forbids to start programs, to open files for
// writing, and to open sockets; and to make and remove files, unless the plan takes
// that. Landlock (landlock(7)) forbids to use files outside of a few folders. Both are for good and for every thread. So whoever
// takes over the process gets little, though its user may be root.
package sandbox

// Plan is what the process will do from now on, besides what every process of
// kernscope does: reading /proc and /sys, calling bpf(2), attaching to events of
// perf, and answering on sockets that are open.
type Plan struct {
	// Read are further files and folders that it reads. One that is missing is
	// left out.
	Read []string
	// Change are folders in which it makes and removes folders and pins. Where there
	// are any, Landlock alone forbids to do so elsewhere.
	Change []string
	// Remove are folders in which it removes files. Where there are any, Landlock
	// alone forbids to do so elsewhere.
	Remove []string
	// Devices are device files that it opens for reading and writing. Where
	// there are any, Landlock alone forbids to write to other files.
	Devices []string
	// Sockets means that it opens sockets.
	Sockets bool
	// Namespaces means that it enters namespaces.
	Namespaces bool
}

// Part is a part of the sandbox.
type Part struct {
	// Name is "seccomp" or "landlock".
	Name string
	// Forbids says in words what the part does.
	Forbids string
	// Reason says why the part is not in force; "" if it is.
	Reason string
}

// String returns the part's name, and what it forbids or why it does not.
func (p Part) String() string {
	if p.Reason != "" {
		return p.Name + ": not in force: " + p.Reason
	}
	return p.Name + ": forbids " + p.Forbids
}

const (
	callsForbidden = "starting programs, opening files for writing, and opening sockets"
	filesForbidden = "using files elsewhere than in /proc, /sys, /lib/modules, /run/udev/data, where cgroups are mounted, " +
		"and in the folders of the web configuration, the certificates, the pins and the unix sockets"
)

// Enter puts the parts of the sandbox in force that the kernel has, and returns
// all. No error is returned: a process that cannot be confined is no worse than
// before, and the parts say so.
func Enter(p Plan) []Part {
	// The filter comes last, since it forbids to enter Landlock.
	files := Part{"landlock", filesForbidden, reason(restrictFiles(p))}
	calls := Part{"seccomp", callsForbidden, reason(filterCalls(p))}
	return []Part{calls, files}
}

// Known returns the parts as [Enter] would on this machine, without doing it.
func Known() []Part {
	return []Part{
		{"seccomp", callsForbidden, reason(canFilter())},
		{"landlock", filesForbidden, reason(canRestrict())},
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
