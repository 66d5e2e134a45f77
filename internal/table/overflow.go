// SPDX-License-Identifier: Apache-2.0

package table

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
)

// Reserve creates the overflow rows of a new map, of this definition. It must be
// called before a program runs that may fill the map. Open takes them as given.
func Reserve(spec collector.Table, def *ebpf.MapSpec, m *ebpf.Map) error {
	keys, err := overflowRows(spec, def)
	if err != nil {
		return fmt.Errorf("map %s: %w", spec.Map, err)
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := newRaw(m)
	if err != nil {
		return fmt.Errorf("map %s: %w", spec.Map, err)
	}
	zero := rows.zero()
	for key := range keys {
		if err := m.Update([]byte(key), zero, ebpf.UpdateNoExist); err != nil {
			return fmt.Errorf("map %s: reserving an overflow row: %w", spec.Map, err)
		}
	}
	return nil
}

// overflowRows returns the keys of the overflow rows. Rows of owners have one
// more for each, of no owner.
func overflowRows(spec collector.Table, def *ebpf.MapSpec) (map[string]bool, error) {
	if spec.Overflow == nil {
		return nil, nil
	}
	keys, err := overflowKeys(spec.Overflow.Each, def)
	if err != nil {
		return nil, err
	}
	if spec.Owners != nil {
		owner, err := Find(def.Key, spec.Owners.Field)
		if err != nil {
			return nil, err
		}
		for _, key := range keys { // those so far
			keys = append(keys, owner.ownerless(bytes.Clone(key)))
		}
	}
	rows := make(map[string]bool, len(keys))
	for _, key := range keys {
		rows[string(key)] = true
	}
	return rows, nil
}

func overflowKeys(each string, def *ebpf.MapSpec) ([][]byte, error) {
	if each == "" {
		return [][]byte{make([]byte, def.KeySize)}, nil
	}
	m, err := Find(def.Key, each)
	if err != nil {
		return nil, err
	}
	enum, ok := m.typ.(*btf.Enum)
	if !ok || m.size != 4 {
		return nil, fmt.Errorf("%s is no 32-bit enum", each)
	}
	var keys [][]byte
	for _, v := range enum.Values {
		key := make([]byte, def.KeySize)
		binary.NativeEndian.PutUint32(key[m.offset:], uint32(v.Value))
		keys = append(keys, key)
	}
	return keys, nil
}

// zero returns a value of zeros, as an update takes it.
func (r *raw) zero() any {
	value := make([]byte, r.m.ValueSize())
	if !r.perCPU {
		return value
	}
	values := make([][]byte, r.cpus)
	for i := range values {
		values[i] = value
	}
	return values
}
