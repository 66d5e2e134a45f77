// SPDX-License-Identifier: Apache-2.0

package kernel

// Ftrace says whether the kernel's function tracer is on. Trampolines and
// kprobe.multi attach by it, as do kprobes at a function's entry on some
// architectures. With the tracer off, Linux 5.10 refuses trampolines with EBUSY
// and does nothing for kprobes; later kernels accept everything and run nothing.
// They also let the tracer be switched off under what is attached; 7.3 no longer
// has the switch. The answer may change at any time.
func (m *Machine) Ftrace() Finding {
	const file = "/proc/sys/kernel/ftrace_enabled"
	switch m.files.line(file) {
	case "0":
		return no("the kernel's function tracer is off (kernel.ftrace_enabled=0): what is attached to functions would not run",
			"sysctl kernel.ftrace_enabled=1").passing()
	case "":
		return Finding{Reason: file + " cannot be read", Passing: true}
	}
	return yes().passing()
}

// KprobesArmed says whether the kernel lets kprobes run
// (Documentation/trace/kprobes.rst, "The kprobes debugfs interface"). Attaching
// succeeds all the same where it does not. Only root can read the switch, and
// only where debugfs is mounted. The answer may change at any time.
func (m *Machine) KprobesArmed() Finding {
	const file = "/sys/kernel/debug/kprobes/enabled"
	switch m.files.line(file) {
	case "0":
		return no("kprobes are switched off ("+file+" is 0): programs attached by one would not run",
			"echo 1 >"+file).passing()
	case "":
		return Finding{Reason: file + " cannot be read", Passing: true}
	}
	return yes().passing()
}

// KprobesRun says whether programs attached by a kprobe run. Where the kernel
// places kprobes at a function's entry by its function tracer, as x86 does and
// arm64 does not (CONFIG_KPROBES_ON_FTRACE), that must be on, too. The answer
// may change at any time, also for what is attached.
func (m *Machine) KprobesRun() Finding {
	if f := m.KprobesArmed(); f.Answer == No {
		return f
	}
	f := m.Ftrace()
	if f.Answer == No && m.Function("kprobe_ftrace_handler", "").Answer == No {
		return yes().passing()
	}
	return f
}
