// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Function says whether the module, or with "" the kernel, has the function.
// For the kernel its type information tells, for a module the kernel's list of
// symbols: a function that was inlined everywhere, or of which the compiler
// left only a variant with other arguments, is not there.
func (m *Machine) Function(name, module string) Finding {
	in, f := m.live(module)
	if f.Answer != Yes {
		return f
	}
	return m.onceFor(in, "function "+name, func() Finding {
		if !in.BuiltIn {
			return m.functionOf(in, name)
		}
		spec, err := m.Spec()
		if err != nil {
			return unknown(err)
		}
		_, err = find[*btf.Func](spec, name)
		if errors.Is(err, btf.ErrNotFound) {
			return no("this kernel has no function "+name, "")
		}
		if err != nil {
			return unknown(err)
		}
		return yes()
	})
}

// live returns the module's state, and says whether it is loaded and live. The
// answer is no that holds.
func (m *Machine) live(module string) (Module, Finding) {
	in := m.look(module)
	if !in.Live {
		return in, no("module "+in.Name+" is not loaded", "modprobe "+in.Name).passing()
	}
	return in, yes()
}

// Trampoline says whether programs can be attached to a function of the module,
// or with "" of the kernel, by a trampoline (fentry, fexit; Linux 5.5,
// fec56f5890d9 "bpf: Introduce BPF trampoline"; arm64 6.4 or so). Kernels that
// have the type of program may still lack what attaching needs, so it tries,
// with a program that does nothing. A module cannot be unloaded while a program
// of that type for one of its functions is loaded.
func (m *Machine) Trampoline(function, module string) Finding {
	if f := m.OwnTypes(); f.Answer != Yes {
		return f
	}
	in, f := m.live(module)
	if f.Answer != Yes {
		return f
	}
	if f := m.Ftrace(); f.Answer == No {
		return f
	}
	if f := m.Function(function, module); f.Answer != Yes {
		return f
	}
	return m.onceFor(in, "trampoline "+function, func() Finding {
		return m.tryAttach("fentry", &ebpf.ProgramSpec{
			Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: function,
		}, func(prog *ebpf.Program) (link.Link, error) {
			return link.AttachTracing(link.TracingOptions{Program: prog})
		})
	})
}

// kprobes is there if the kernel has kprobes (e12f03d7031a "perf/core:
// Implement the 'perf_kprobe' PMU", since Linux 4.17).
const kprobes = "/sys/bus/event_source/devices/kprobe"

// Kprobe says whether programs can be attached to a function of the module, or
// with "" of the kernel, by a breakpoint, with perf_event_open(2). It tries:
// functions may be left out from tracing. It needs CAP_SYS_ADMIN, or CAP_PERFMON
// and kernel.perf_event_paranoid of 2 at most. It never keeps a module from
// being unloaded.
func (m *Machine) Kprobe(function, module string) Finding {
	in, f := m.live(module)
	if f.Answer != Yes {
		return f
	}
	if f := m.KprobesArmed(); f.Answer == No {
		return f
	}
	if f := m.Function(function, module); f.Answer == No {
		return f
	}
	return m.onceFor(in, "kprobe "+function, func() Finding {
		if _, err := os.Stat(kprobes); errors.Is(err, os.ErrNotExist) {
			return no("this kernel has no kprobes (CONFIG_KPROBES)", "")
		}
		return m.tryAttach("kprobe", &ebpf.ProgramSpec{Type: ebpf.Kprobe}, func(prog *ebpf.Program) (link.Link, error) {
			return link.Kprobe(function, prog, nil)
		})
	})
}

// KprobeMulti says whether programs can be attached to a function of the
// module, or with "" of the kernel, by a link of many kprobes (Linux 5.18,
// 0dcac2725406 "bpf: Add multi kprobe link"). It tries. It needs CAP_PERFMON
// whatever kernel.perf_event_paranoid is.
func (m *Machine) KprobeMulti(function, module string) Finding {
	in, f := m.live(module)
	if f.Answer != Yes {
		return f
	}
	if f := m.Ftrace(); f.Answer == No {
		return f
	}
	if f := m.Function(function, module); f.Answer == No {
		return f
	}
	return m.onceFor(in, "kprobe.multi "+function, func() Finding {
		return m.tryAttach("kprobe.multi", &ebpf.ProgramSpec{
			Type: ebpf.Kprobe, AttachType: ebpf.AttachTraceKprobeMulti,
		}, func(prog *ebpf.Program) (link.Link, error) {
			return link.KprobeMulti(prog, link.KprobeMultiOptions{Symbols: []string{function}})
		})
	})
}

// tryAttach loads a program that does nothing, attaches and detaches it.
func (m *Machine) tryAttach(how string, spec *ebpf.ProgramSpec, attach func(*ebpf.Program) (link.Link, error)) Finding {
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	spec.License = "GPL"
	// A collection, as a program alone would have all types decoded anew.
	coll, err := ebpf.NewCollectionWithOptions(
		&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{how: spec}},
		ebpf.CollectionOptions{Cache: m.Cache()})
	if err != nil {
		return refusedAttach(how, err)
	}
	defer coll.Close()
	l, err := attach(coll.Programs[how])
	if err != nil {
		return refusedAttach(how, err)
	}
	l.Close()
	return yes()
}

// refusedAttach explains an error. It is no answer if a later attempt may end
// otherwise.
func refusedAttach(how string, err error) Finding {
	reason := fmt.Sprintf("this kernel refuses to attach programs to functions by %s: %v", how, err)
	if errors.Is(err, unix.EPERM) {
		// The library's hint at MEMLOCK would mislead: other programs load.
		return no(fmt.Sprintf("this kernel does not permit to attach programs to functions (%s)", how), "")
	}
	for _, passing := range []error{unix.EAGAIN, unix.EBUSY, unix.EINTR, unix.ENOMEM} {
		if errors.Is(err, passing) {
			return Finding{Reason: reason}
		}
	}
	return no(reason, "")
}
