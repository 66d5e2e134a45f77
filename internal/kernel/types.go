// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// typesFolder is where the kernel publishes type information: its own as
// vmlinux (341dfcf8d78e "btf: expose BTF info through sysfs", since Linux 5.4),
// and that of each loaded module (36e68442d1af "bpf: Load and verify kernel
// module BTFs", since Linux 5.11).
const typesFolder = "/sys/kernel/btf"

const ownTypes = typesFolder + "/vmlinux"

// External returns the type information given by file, nil if there is none.
func (m *Machine) External() *btf.Spec { return m.external }

// Cache returns the decoded type information of the kernel, for loading
// programs.
func (m *Machine) Cache() *btf.Cache {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cache
}

// Release frees the decoded type information and lists of symbols. They are
// read again when needed.
func (m *Machine) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cache = btf.NewCache()
	for _, l := range m.known {
		l.types, l.symbols = nil, nil
	}
}

// Types says whether there is type information at all, the kernel's own or an
// external file's. No program can be adapted to the kernel without.
func (m *Machine) Types() Finding {
	if m.external != nil {
		return yes()
	}
	return m.OwnTypes()
}

// OwnTypes says whether the kernel publishes its type information, which
// tp_btf and fentry programs need whatever file is given.
func (m *Machine) OwnTypes() Finding {
	return m.once("own types", func() Finding {
		if _, err := os.Stat(ownTypes); err != nil {
			return no("the kernel publishes no type information (BTF) at "+ownTypes,
				"run a kernel built with CONFIG_DEBUG_INFO_BTF=y, or give its BTF with --btf=FILE")
		}
		if m.external != nil {
			return yes() // what is published need not be parsed
		}
		if _, err := m.Cache().Kernel(); err != nil {
			return no(fmt.Sprintf("the kernel's type information (BTF) is unusable: %v", err),
				"give the kernel's BTF with --btf=FILE")
		}
		return yes()
	})
}

// Spec returns the type information of the kernel that programs are adapted
// to.
func (m *Machine) Spec() (*btf.Spec, error) {
	if m.external != nil {
		return m.external, nil
	}
	if f := m.OwnTypes(); f.Answer != Yes {
		return nil, errors.New(f.Reason)
	}
	return m.Cache().Kernel()
}

// ModuleTypes returns the type information that a loaded module publishes. The
// error is fs.ErrNotExist if it publishes none, as on kernels before 5.11, or
// is not loaded. The types of a module that is built in, and of "", are the
// kernel's.
func (m *Machine) ModuleTypes(name string) (*btf.Spec, error) {
	module := m.look(name)
	if module.BuiltIn {
		return m.Spec()
	}
	m.mu.Lock()
	types := m.knownOf(module).types
	m.mu.Unlock()
	if types != nil {
		return types, nil
	}
	// Not by the library's cache, which keeps the types of a module that was
	// loaded anew in another version.
	file, err := os.Open(filepath.Join(typesFolder, module.Name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	base, err := m.Cache().Kernel()
	if err != nil {
		return nil, err
	}
	types, err = btf.LoadSplitSpecFromReader(file, base)
	if err != nil {
		return nil, fmt.Errorf("the type information (BTF) of module %s: %w", module.Name, err)
	}
	m.mu.Lock()
	m.knownOf(module).types = types
	m.mu.Unlock()
	return types, nil
}

// LoadOptions returns with what the library loads programs: they are adapted to
// the types of the kernel and of the one module ("" is none), if that publishes
// any. Left to itself, the library reads those of all modules that are loaded,
// and fails if one of them goes meanwhile.
func (m *Machine) LoadOptions(module string) (ebpf.CollectionOptions, error) {
	kernelTypes, err := m.Spec()
	if err != nil {
		return ebpf.CollectionOptions{}, err
	}
	options := ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{KernelTypes: kernelTypes},
		Cache:    m.Cache(),
	}
	in := m.look(module)
	if in.BuiltIn {
		return options, nil
	}
	types, err := m.ModuleTypes(module)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return ebpf.CollectionOptions{}, err
	default:
		options.Programs.ExtraRelocationTargets = []*btf.Spec{types}
	}
	options.Cache = m.cacheFor(in)
	return options, nil
}

// find returns the one type of the name and kind in the types.
func find[T btf.Type](types *btf.Spec, name string) (found T, err error) {
	err = types.TypeByName(name, &found)
	return found, err
}
