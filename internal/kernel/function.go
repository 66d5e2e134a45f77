// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"

	"github.com/cilium/ebpf/btf"
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
