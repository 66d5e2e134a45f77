// SPDX-License-Identifier: Apache-2.0

package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
)

// reserve creates the overflow rows, unless they are there, and returns their
// keys. Rows of owners have one more for each, of no owner.
func reserve(spec *collector.Overflow, def *ebpf.MapSpec, rows *raw, owners *owned) (map[string]bool, error) {
	if spec == nil {
		return nil, nil
	}
	keys, err := overflowKeys(spec.Each, def)
	if err != nil {
		return nil, err
	}
	if owners != nil {
		for _, key := range keys { // those so far
			keys = append(keys, owners.owner.ownerless(bytes.Clone(key)))
		}
	}
	zero := rows.zero()
	reserved := make(map[string]bool, len(keys))
	for _, key := range keys {
		reserved[string(key)] = true
		if err := rows.m.Update(key, zero, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			return nil, fmt.Errorf("reserving an overflow row: %w", err)
		}
	}
	return reserved, nil
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
