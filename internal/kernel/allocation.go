// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// allocates reports whether rows of the map get their memory as programs add
// them.
func allocates(spec *ebpf.MapSpec) bool {
	switch spec.Type {
	case ebpf.Hash, ebpf.PerCPUHash, ebpf.HashOfMaps:
		return spec.Flags&unix.BPF_F_NO_PREALLOC != 0
	}
	return false
}

// Preallocate says whether hashes must have all their memory from the start
// where programs trace. The memory of a row came from kmalloc, inside of which
// a program may run. A kernel warns of such maps, once and whoever loads the
// program (94dacdbd5d2d "bpf: Tighten the requirements for preallocated hash
// maps"), which stops a machine with kernel.panic_on_warn; it refuses them to
// programs of perf events, and with CONFIG_PREEMPT_RT to all.
//
// Since Linux 6.1 rows come from an allocator made for any context, and no rule
// is left (96da3f7d489d "bpf: Remove tracing program restriction on map
// types"). The last map that moved to it was the per-CPU hash, to its member
// pcpu_ma (ee4ed53c5eb6 "bpf: Convert percpu hash map to per-cpu
// bpf_mem_alloc"), in the same release.
func (m *Machine) Preallocate() Finding {
	return m.once("preallocate", func() Finding {
		spec, err := m.Spec()
		if err != nil {
			return unknown(err)
		}
		_, err = find[*btf.Struct](spec, "bpf_mem_alloc")
		if errors.Is(err, btf.ErrNotFound) {
			return yes()
		}
		if err != nil {
			return unknown(err)
		}
		return no("this kernel allocates rows of hashes safely (Linux 6.1)", "")
	})
}

// FitMaps gives the maps all their memory from the start, where rows must not
// be allocated as programs add them or that is not known. It comes before
// [Machine.Maps] and before the load.
func (m *Machine) FitMaps(maps map[string]*ebpf.MapSpec) {
	for _, spec := range maps {
		if allocates(spec) && m.Preallocate().Answer != No {
			spec.Flags &^= unix.BPF_F_NO_PREALLOC
		}
	}
}
