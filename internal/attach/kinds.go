// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/kernscope/kernscope/internal/kernel"
)

// attachment is a program's connection to a place of the kernel, which ends
// when it is closed, unless it is pinned. A [link.Link] is one.
type attachment interface {
	io.Closer
	Pin(path string) error
}

// kind is a way for a program to be attached.
type kind struct {
	// sections are the beginnings of the names of sections of such programs.
	sections []string
	// can says whether this machine attaches programs so, to a target in the
	// kernel or in a module.
	can func(m *kernel.Machine, target, module string) kernel.Finding
	// runs says whether programs that are attached so still run; nil is always.
	runs func(m *kernel.Machine) kernel.Finding
	// attach attaches a loaded program.
	attach func(spec *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error)
	// adopt takes over what was pinned under the path.
	adopt func(spec *ebpf.ProgramSpec, prog *ebpf.Program, path string) (attachment, error)
}

// kinds returns all ways to attach a program. The order does not matter.
func kinds() []kind {
	pinned := func(_ *ebpf.ProgramSpec, _ *ebpf.Program, path string) (attachment, error) {
		return link.LoadPinnedLink(path, nil)
	}
	tracing := func(_ *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error) {
		return link.AttachTracing(link.TracingOptions{Program: prog})
	}
	kprobe := func(attach func(string, *ebpf.Program, *link.KprobeOptions) (link.Link, error)) func(*ebpf.ProgramSpec, *ebpf.Program) (attachment, error) {
		return func(spec *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error) {
			l, err := attach(spec.AttachTo, prog, nil)
			return l, attaching(err, kernel.PermitPerf)
		}
	}
	return []kind{
		{[]string{"tp_btf"}, (*kernel.Machine).TypedTracepoint, nil, tracing, pinned},
		{[]string{"fentry", "fexit"}, (*kernel.Machine).Trampoline, (*kernel.Machine).Ftrace, tracing, pinned},
		{[]string{"raw_tp", "raw_tracepoint"}, (*kernel.Machine).Tracepoint, nil,
			func(spec *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error) {
				return link.AttachRawTracepoint(link.RawTracepointOptions{Name: spec.AttachTo, Program: prog})
			}, pinned},
		{[]string{"perf_event"},
			func(m *kernel.Machine, _, _ string) kernel.Finding { return m.PerfEvents() }, nil,
			func(spec *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error) {
				return attachEveryCPU(spec, prog)
			},
			func(spec *ebpf.ProgramSpec, prog *ebpf.Program, path string) (attachment, error) {
				return adoptEveryCPU(spec, prog, path)
			}},
		{[]string{"kprobe"}, (*kernel.Machine).Kprobe, (*kernel.Machine).KprobesRun,
			kprobe(link.Kprobe), pinned},
		{[]string{"kretprobe"}, (*kernel.Machine).Kprobe, (*kernel.Machine).KprobesRun,
			kprobe(link.Kretprobe), pinned},
		{[]string{"kprobe.multi"}, (*kernel.Machine).KprobeMulti, (*kernel.Machine).Ftrace,
			func(spec *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error) {
				return link.KprobeMulti(prog, link.KprobeMultiOptions{Symbols: []string{spec.AttachTo}})
			}, pinned},
		{[]string{"kretprobe.multi"}, (*kernel.Machine).KprobeMulti, (*kernel.Machine).Ftrace,
			func(spec *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error) {
				return link.KretprobeMulti(prog, link.KprobeMultiOptions{Symbols: []string{spec.AttachTo}})
			}, pinned},
	}
}

// has reports whether the program is attached so.
func (k kind) has(spec *ebpf.ProgramSpec) bool {
	section, _, _ := strings.Cut(spec.SectionName, "/")
	return slices.Contains(k.sections, section)
}

// kindOf returns how a program is attached, from its section's name.
func kindOf(spec *ebpf.ProgramSpec) (kind, error) {
	for _, k := range kinds() {
		if k.has(spec) {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("a program in section %s cannot be attached", spec.SectionName)
}
