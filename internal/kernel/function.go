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

// Function says whether the kernel has the function, from its type
// information: one that was inlined everywhere is not there.
func (m *Machine) Function(name string) Finding {
	return m.once("function "+name, func() Finding {
		spec, err := m.Spec()
		if err != nil {
			return Finding{Reason: err.Error()}
		}
		var function *btf.Func
		err = spec.TypeByName(name, &function)
		if errors.Is(err, btf.ErrNotFound) {
			return no("this kernel has no function "+name, "")
		}
		if err != nil {
			return Finding{Reason: err.Error()}
		}
		return yes()
	})
}

// Trampoline says whether programs can be attached to a function by a
// trampoline (fentry, fexit; Linux 5.5, fec56f5890d9 "bpf: Introduce BPF
// trampoline"; arm64 6.4 or so). Kernels that have the type of program may
// still lack what attaching needs, so it tries, with a program that does
// nothing.
func (m *Machine) Trampoline(function string) Finding {
	return m.once("trampoline "+function, func() Finding {
		if f := m.OwnTypes(); f.Answer != Yes {
			return f
		}
		if f := m.Function(function); f.Answer != Yes {
			return f
		}
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

// Kprobe says whether programs can be attached to a function by a breakpoint.
// It tries: functions may be left out from tracing.
func (m *Machine) Kprobe(function string) Finding {
	return m.once("kprobe "+function, func() Finding {
		if _, err := os.Stat(kprobes); errors.Is(err, os.ErrNotExist) {
			return no("this kernel has no kprobes (CONFIG_KPROBES)", "")
		}
		if f := m.Function(function); f.Answer == No {
			return f
		}
		return m.tryAttach("kprobe", &ebpf.ProgramSpec{Type: ebpf.Kprobe}, func(prog *ebpf.Program) (link.Link, error) {
			return link.Kprobe(function, prog, nil)
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
		ebpf.CollectionOptions{Cache: m.cache})
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
