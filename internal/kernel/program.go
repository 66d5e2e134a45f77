// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"strings"

	"github.com/cilium/ebpf"
)

// Program says whether the program can be attached and all that it uses is
// there; maps are those of its object, by name.
func (m *Machine) Program(p *ebpf.ProgramSpec, maps map[string]*ebpf.MapSpec) Finding {
	if f := m.place(p); f.Answer == No {
		return f
	}
	return m.Maps(p, maps)
}

// place says whether a program can be attached where its section says.
func (m *Machine) place(p *ebpf.ProgramSpec) Finding {
	switch {
	case p.Type == ebpf.Tracing && p.AttachType == ebpf.AttachTraceRawTp:
		return m.TypedTracepoint(p.AttachTo, "")
	case p.Type == ebpf.Tracing && (p.AttachType == ebpf.AttachTraceFEntry || p.AttachType == ebpf.AttachTraceFExit):
		return m.Trampoline(p.AttachTo, "")
	case p.Type == ebpf.RawTracepoint:
		return m.Tracepoint(p.AttachTo, "")
	case p.Type == ebpf.PerfEvent:
		return m.PerfEvents()
	case p.Type == ebpf.Kprobe && strings.HasSuffix(strings.Split(p.SectionName, "/")[0], ".multi"):
		return m.KprobeMulti(p.AttachTo, "")
	case p.Type == ebpf.Kprobe:
		return m.Kprobe(p.AttachTo, "")
	}
	return yes()
}

// Maps says whether the kernel has all maps that the program uses, and lets
// them be used where the program runs; maps are those of its object, by name,
// after [Machine.FitMaps].
func (m *Machine) Maps(p *ebpf.ProgramSpec, maps map[string]*ebpf.MapSpec) Finding {
	for _, ins := range p.Instructions {
		if !ins.IsLoadFromMap() {
			continue
		}
		spec := maps[ins.Reference()]
		if spec == nil {
			continue // a section of variables, which is an array
		}
		if f := m.MapType(spec.Type); f.Answer == No {
			return f
		}
		if spec.Type == ebpf.TaskStorage && holdsLock(p.AttachTo) {
			if f := m.StorageUnderLock(); f.Answer != Yes {
				return f
			}
		}
		if allocates(spec) {
			if f := m.Preallocate(); f.Answer != No {
				return no("map "+spec.Name+": "+f.Reason, f.Remedy)
			}
		}
	}
	return yes()
}
