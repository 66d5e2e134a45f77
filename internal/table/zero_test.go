// SPDX-License-Identifier: Apache-2.0

package table

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
)

// TestZeroRows: of an array that is indexed by an enum, the elements that never
// counted are no rows; without labels the one row is there from the start.
func TestZeroRows(t *testing.T) {
	needMaps(t)
	vector := &btf.Enum{Name: "vector", Size: 4, Values: []btf.EnumValue{{Name: "VECTOR_HI", Value: 0}, {Name: "VECTOR_NET_TX", Value: 1}, {Name: "VECTOR_RCU", Value: 2}}}
	for _, tc := range []struct {
		name   string
		labels []collector.Label
		size   uint32
		counts []uint32
		want   []string // of labels, joined
	}{
		{"none counted", []collector.Label{{Name: "vector"}}, 3, nil, nil},
		{"one counted", []collector.Label{{Name: "vector"}}, 3, []uint32{1}, []string{"net_tx"}},
		{"first and last", []collector.Label{{Name: "vector"}}, 3, []uint32{0, 2}, []string{"hi", "rcu"}},
		{"no labels", nil, 1, nil, []string{""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			def := &ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 16, MaxEntries: tc.size, Key: vector, Value: &btf.Int{Name: "u64", Size: 8}}
			m, err := ebpf.NewMap(&ebpf.MapSpec{Type: def.Type, KeySize: def.KeySize, ValueSize: def.ValueSize, MaxEntries: def.MaxEntries})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for _, element := range tc.counts {
				copies := make([][2]uint64, ebpf.MustPossibleCPU())
				copies[len(copies)-1][1] = 1 // the last word on the last CPU
				if err := m.Put(element, copies); err != nil {
					t.Fatal(err)
				}
			}
			table, err := Open(collector.Table{Map: "vectors", Labels: tc.labels}, def, func(string) *ebpf.Map { return m }, nil)
			if err != nil {
				t.Fatal(err)
			}
			read, err := table.Read()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range read.Rows {
				got = append(got, slices.Concat(r.Labels, []string{""})[0])
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("rows %q, want %q", got, tc.want)
			}
		})
	}
}
