// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

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
	if f := m.Ftrace(); f.Answer == No {
		return f
	}
	if f := m.Function(function, module); f.Answer != Yes {
		return f
	}
	in := m.look(module)
	if !in.BuiltIn {
		if f := m.trampolineInModule(in); f.Answer != Yes {
			return f
		}
	}
	return m.onceFor(in, "trampoline "+function, func() Finding {
		return m.tryAttach(in, "fentry", &ebpf.ProgramSpec{
			Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: function,
		}, func(prog *ebpf.Program) (link.Link, error) {
			return link.AttachTracing(link.TracingOptions{Program: prog})
		})
	})
}

// trampolineInModule says whether the module's functions can be named in a
// program: by the number of the types that the module publishes, which only
// CAP_SYS_ADMIN may ask for.
func (m *Machine) trampolineInModule(in Module) Finding {
	_, err := m.ModuleTypes(in.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return no("module "+in.Name+" publishes no type information (BTF), which fentry needs", "")
	}
	if err != nil {
		return unknown(err)
	}
	if !capable(cap.SYS_ADMIN) {
		return no("attaching programs to functions of modules by fentry takes CAP_SYS_ADMIN", Grant("CAP_SYS_ADMIN")).denied()
	}
	return yes()
}

// kprobes is there if the kernel has kprobes (e12f03d7031a "perf/core:
// Implement the 'perf_kprobe' PMU", since Linux 4.17).
const kprobes = "/sys/bus/event_source/devices/kprobe"

// Kprobe says whether programs can be attached to a function of the module, or
// with "" of the kernel, by a breakpoint, with perf_event_open(2). It tries:
// functions may be left out from tracing. It needs CAP_PERFMON and
// kernel.perf_event_paranoid of 2 at most, or CAP_SYS_ADMIN. It never keeps a
// module from being unloaded. After that the attachment is dead, without a sign.
func (m *Machine) Kprobe(function, module string) Finding {
	if _, err := os.Stat(kprobes); errors.Is(err, os.ErrNotExist) {
		return no("this kernel has no kprobes (CONFIG_KPROBES)", "")
	}
	if f := m.KprobesRun(); f.Answer == No {
		return f
	}
	if f := m.Function(function, module); f.Answer == No {
		return f
	}
	in := m.look(module)
	return m.onceFor(in, "kprobe "+function, func() Finding {
		if m.forbidsKprobe(function) {
			return no("this kernel forbids kprobes on "+function, "")
		}
		return m.tryAttach(in, "kprobe", &ebpf.ProgramSpec{Type: ebpf.Kprobe}, func(prog *ebpf.Program) (link.Link, error) {
			return link.Kprobe(function, prog, nil)
		})
	})
}

// forbidsKprobe reports whether the function is on the kernel's list of those
// that a kprobe would break. Only root can read it. The kernel refuses them in
// any case, but does not say why.
func (m *Machine) forbidsKprobe(function string) bool {
	text, err := os.ReadFile(m.files.path("/sys/kernel/debug/kprobes/blacklist"))
	return err == nil && bytes.Contains(text, []byte("\t"+function+"\n"))
}

// KprobeMulti says whether programs can be attached to a function of the
// module, or with "" of the kernel, by a link of many kprobes (Linux 5.18,
// 0dcac2725406 "bpf: Add multi kprobe link", with CONFIG_FPROBE). It tries. It
// needs CAP_PERFMON, whatever kernel.perf_event_paranoid is. A module cannot be
// unloaded while such a link has one of its functions (e22061b2d309 "bpf: Take
// module reference on kprobe_multi link", since Linux 6.2).
func (m *Machine) KprobeMulti(function, module string) Finding {
	if f := m.Ftrace(); f.Answer == No {
		return f
	}
	if f := m.Function(function, module); f.Answer == No {
		return f
	}
	in := m.look(module)
	return m.onceFor(in, "kprobe.multi "+function, func() Finding {
		return m.tryAttach(in, "kprobe.multi", &ebpf.ProgramSpec{
			Type: ebpf.Kprobe, AttachType: ebpf.AttachTraceKprobeMulti,
		}, func(prog *ebpf.Program) (link.Link, error) {
			return link.KprobeMulti(prog, link.KprobeMultiOptions{Symbols: []string{function}})
		})
	})
}

// tryAttach loads a program that does nothing, attaches and detaches it.
func (m *Machine) tryAttach(in Module, how string, spec *ebpf.ProgramSpec, attach func(*ebpf.Program) (link.Link, error)) Finding {
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	spec.License = "GPL"
	// A collection, as a program alone would have all types decoded anew.
	coll, err := ebpf.NewCollectionWithOptions(
		&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{how: spec}},
		ebpf.CollectionOptions{Cache: m.cacheFor(in)})
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

// cacheFor returns the decoded types to find a function of the module in. The
// library looks through all modules and keeps their types, of which those of a
// module that has been loaded anew would be wrong.
func (m *Machine) cacheFor(in Module) *btf.Cache {
	if in.BuiltIn {
		return m.Cache()
	}
	return btf.NewCache()
}

// refusedAttach explains an error. It is no answer if a later attempt may end
// otherwise.
func refusedAttach(how string, err error) Finding {
	reason := fmt.Sprintf("this kernel refuses to attach programs to functions by %s: %v", how, err)
	switch level := paranoid(); {
	case how == "kprobe" && errors.Is(err, unix.EACCES) && level > 2:
		return no(fmt.Sprintf("attaching programs by %s: %v: with kernel.perf_event_paranoid=%d, a level that distributions add, it takes CAP_SYS_ADMIN", how, err, level),
			PermitPerf()).denied()
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		// The library's hint at MEMLOCK would mislead: other programs load.
		reason := fmt.Sprintf("this kernel does not permit to attach programs to functions (%s)", how)
		if missing := lacking(bpfCapabilities()...); len(missing) > 0 {
			reason += ": the process lacks " + strings.Join(missing, " and ")
		}
		return no(reason, Grant(bpfCapabilities()...)).denied()
	}
	for _, passing := range []error{unix.EAGAIN, unix.EBUSY, unix.EINTR, unix.ENOMEM} {
		if errors.Is(err, passing) {
			return Finding{Reason: reason}
		}
	}
	return no(reason, "")
}
