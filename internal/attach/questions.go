// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
)

// questions asks the running kernel on behalf of a collector.
type questions struct {
	kernel *kernel.Machine
	module *collector.Module // nil for the kernel
	maps   map[string]*ebpf.MapSpec
}

// Possible says whether this machine can run a program of an object, as far as
// can be known before it is tried. Its target is in the kernel.
func Possible(m *kernel.Machine, p *ebpf.ProgramSpec, obj *ebpf.CollectionSpec) kernel.Finding {
	return (&questions{kernel: m, maps: obj.Maps}).program(p)
}

func (q *questions) program(p *ebpf.ProgramSpec) kernel.Finding {
	k, err := kindOf(p)
	if err != nil {
		return kernel.Finding{Answer: kernel.No, Reason: err.Error()}
	}
	if f := k.can(q.kernel, p.AttachTo, q.moduleOf(p)); f.Answer == kernel.No {
		return f
	}
	return q.kernel.Maps(p, q.maps)
}

// moduleOf returns the module in which a program's target is. That of a
// collector of a module may be the kernel's all the same.
func (q *questions) moduleOf(p *ebpf.ProgramSpec) string {
	if q.module == nil {
		return ""
	}
	if f := q.kernel.Function(p.AttachTo, ""); f.Answer == kernel.Yes {
		return ""
	}
	if f := q.kernel.Tracepoint(p.AttachTo, ""); f.Answer == kernel.Yes {
		return ""
	}
	return q.module.Name
}

func (q *questions) enumerator(enum, name string) kernel.Finding {
	return q.kernel.Enumerator(enum, name)
}

func (q *questions) moduleTypes() kernel.Finding {
	if _, err := moduleTypes(q.kernel, q.module); err != nil {
		return kernel.Finding{Answer: kernel.No, Reason: err.Error()}
	}
	return kernel.Finding{Answer: kernel.Yes}
}

// moduleTypes returns the types of a module: its own, or else those that the
// spec brings for its version.
func moduleTypes(m *kernel.Machine, module *collector.Module) (*btf.Spec, error) {
	if module == nil {
		return nil, errors.New("the collector names no module whose types it needs")
	}
	types, err := m.ModuleTypes(module.Name)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return types, err
	case module.Types == nil:
		return nil, fmt.Errorf("module %s publishes no type information (BTF), and the collector brings none", module.Name)
	}
	version := m.Module(module.Name).Version
	if types, err = module.Types(version); err != nil {
		return nil, fmt.Errorf("types of %s %s: %w", module.Name, version, err)
	}
	return types, nil
}
