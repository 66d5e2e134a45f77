// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"io/fs"

	"github.com/cilium/ebpf/btf"
)

// Tracepoint says whether the module, or with "" the kernel, has the
// tracepoint: every tracepoint has a typedef of its prototype, named
// btf_trace_<tracepoint>. There is no answer for a module that publishes no
// types. A module cannot be unloaded while a program is attached to one of its
// tracepoints.
func (m *Machine) Tracepoint(name, module string) Finding {
	in, f := m.live(module)
	if f.Answer != Yes {
		return f
	}
	return m.onceFor(in, "tracepoint "+name, func() Finding {
		types, err := m.ModuleTypes(module)
		if errors.Is(err, fs.ErrNotExist) {
			return Finding{Reason: "module " + in.Name + " publishes no type information (BTF)"}
		}
		if err != nil {
			return unknown(err)
		}
		_, err = find[*btf.Typedef](types, "btf_trace_"+name)
		if errors.Is(err, btf.ErrNotFound) {
			return no(in.owner()+" has no tracepoint "+name, "")
		}
		if err != nil {
			return unknown(err)
		}
		return yes()
	})
}

// TypedTracepoint says whether programs whose arguments have types (tp_btf) can
// be attached to the tracepoint.
func (m *Machine) TypedTracepoint(name, module string) Finding {
	if f := m.OwnTypes(); f.Answer != Yes {
		return f
	}
	return m.Tracepoint(name, module)
}
