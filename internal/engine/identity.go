// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
)

const identityBytes = sha256.Size

// identity is a hash of all that decides what a collector counts and how: its
// programs, types, variables and tables, ready to be loaded. What was loaded
// with the same identity since the machine booted may stand in for it.
//
// Left out is what differs from start to start and may: the time of the load,
// and the size of tables that follows the machine's devices.
func identity(obj *ebpf.CollectionSpec, sized map[string]bool) (string, error) {
	// Instructions refer to members of types by position.
	types, err := marshal(obj.Types)
	if err != nil {
		return "", fmt.Errorf("writing the object's types: %w", err)
	}
	h := sha256.New()
	h.Write(types)
	for _, name := range slices.Sorted(maps.Keys(obj.Programs)) {
		p := obj.Programs[name]
		fmt.Fprintln(h, "program", name, p.SectionName, p.Type, p.AttachType, p.AttachTo, p.Flags, p.License)
		for i := range p.Instructions {
			in := &p.Instructions[i]
			fmt.Fprintln(h, uint64(in.OpCode), in.Dst, in.Src, in.Offset, in.Constant,
				in.Symbol(), in.Reference(), btf.CORERelocationMetadata(in))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(obj.Variables)) {
		if v := obj.Variables[name]; name != varLoad {
			fmt.Fprintln(h, "variable", name, v.SectionName, v.Offset, v.Value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(obj.Maps)) {
		m := obj.Maps[name]
		rows := m.MaxEntries
		if sized[name] {
			rows = 0
		}
		fmt.Fprintln(h, "map", name, m.Type, m.KeySize, m.ValueSize, rows, m.Flags)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func marshal(spec *btf.Spec) ([]byte, error) {
	var types []btf.Type
	for t, err := range spec.All() {
		if err != nil {
			return nil, err
		}
		types = append(types, t)
	}
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		return nil, err
	}
	return b.Marshal(nil, nil)
}

// sized are the tables whose size follows the machine's devices.
func sized(described []collector.Map) map[string]bool {
	names := make(map[string]bool)
	for _, m := range described {
		names[m.Name] = m.Size != nil
	}
	return names
}
