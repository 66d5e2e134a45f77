// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Access says whether this process may load BPF programs and create maps. It
// tries both, and explains a refusal. Before Linux 5.11 what root's processes and
// pins have in the kernel counts against RLIMIT_MEMLOCK, which is lifted first;
// where it cannot be, and is too low, that shows.
func (m *Machine) Access() Finding {
	return m.once("access", func() Finding {
		_ = rlimit.RemoveMemlock() // whether it was needed, the kernel says below
		array, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
		if err != nil {
			return refusal("creating a BPF map", err)
		}
		array.Close()
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type:         ebpf.RawTracepoint,
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
			License:      "GPL",
		})
		if err != nil {
			return refusal("loading a BPF program", err)
		}
		prog.Close()
		if err := checkPossibleCPUs(); err != nil {
			return no("reading maps that count on every CPU: "+err.Error(),
				"where a container has files of its own in place of those of "+cpuFolder+", show it the kernel's")
		}
		return yes()
	})
}

// refusal explains an error of bpf(2) by what is known of the process.
func refusal(doing string, err error) Finding {
	reason := fmt.Sprintf("%s: %v", doing, err)
	switch {
	case errors.Is(err, unix.ENOSYS):
		return no("the kernel has no bpf(2), or a seccomp filter hides it",
			"run a kernel with CONFIG_BPF_SYSCALL=y, outside of a container whose seccomp profile refuses bpf(2)")
	case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES):
		return no(reason, "")
	}
	if missing := lacking(bpfCapabilities()...); len(missing) > 0 {
		return no(fmt.Sprintf("%s: not permitted: the process lacks %s", doing, strings.Join(missing, " and ")),
			Grant(missing...)).denied()
	}
	if mode := Lockdown(); mode == "confidentiality" {
		return no(doing+": not permitted: the kernel is locked down (lockdown=confidentiality)",
			"boot with lockdown=integrity or none")
	}
	return no(doing+": not permitted although the capabilities are there: a container's seccomp profile, a security module, or RLIMIT_MEMLOCK",
		"allow bpf(2) in the container's seccomp profile; before Linux 5.11 also raise RLIMIT_MEMLOCK").denied()
}

// bpfCapabilities returns what loading and attaching programs takes.
func bpfCapabilities() []string { return []string{"CAP_BPF", "CAP_PERFMON"} }

// Grant returns what helps if the kernel refused something to this thread that
// takes the capabilities.
func Grant(capabilities ...string) string {
	missing := lacking(capabilities...)
	switch {
	case len(missing) == 0:
		return "the process has " + strings.Join(capabilities, " and ") + ": allow it in the container's seccomp profile or in the security module"
	case os.Geteuid() == 0: // in a container, or without all of root's capabilities
		return "grant " + strings.Join(missing, " and ")
	}
	return "run as root, or grant " + strings.Join(missing, " and ")
}

// lacking returns those of the capabilities that this thread does not have in
// effect. CAP_BPF and CAP_PERFMON came with Linux 5.8 (2c78ee898d8f "bpf:
// Implement CAP_BPF"); CAP_SYS_ADMIN includes them.
func lacking(names ...string) []string {
	var missing []string
	for _, name := range names {
		v, err := cap.FromName(strings.ToLower(name))
		included := slices.Contains(bpfCapabilities(), name) && capable(cap.SYS_ADMIN)
		if err == nil && !included && !capable(v) {
			missing = append(missing, name)
		}
	}
	return missing
}

// capable reports whether this thread has the capability in effect, or that is
// not known.
func capable(capability cap.Value) bool {
	// Of the thread: one may raise what others have dropped.
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return true
	}
	_, rest, found := strings.Cut(string(status), "CapEff:")
	if !found {
		return true
	}
	line, _, _ := strings.Cut(rest, "\n")
	effective, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err != nil || effective&(1<<capability) != 0
}

// Lockdown returns the kernel's lockdown mode (kernel_lockdown(7)): "none",
// "integrity", "confidentiality", or "" if the kernel has none.
func Lockdown() string {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}
