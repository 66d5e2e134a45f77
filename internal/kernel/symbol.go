// SPDX-License-Identifier: Apache-2.0

package kernel

// symbol is what the kernel's list of symbols says of a function of a module.
type symbol struct {
	exact    int      // functions of exactly that name in the module
	variants []string // made of it by the compiler
	others   []string // modules that have one of that name, or "the kernel"
}

// functionOf says whether a loaded module has the function.
func (m *Machine) functionOf(module Module, name string) Finding {
	return Finding{}
}
