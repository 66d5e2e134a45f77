// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"github.com/cilium/ebpf"
)

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
