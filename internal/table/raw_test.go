// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/internal/kernel"
)

// needMaps skips the test where the kernel refuses BPF.
func needMaps(t *testing.T) {
	t.Helper()
	machine, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if f := machine.Access(); f.Answer != kernel.Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
}

// TestTableSumsEveryRow fills maps of each type that is read, with a different
// number in every copy, and expects every row once with the sum.
func TestTableSumsEveryRow(t *testing.T) {
	needMaps(t)
	cpus := ebpf.MustPossibleCPU()
	const words = 3
	for _, tc := range []struct {
		spec   ebpf.MapSpec
		perCPU bool
	}{
		{ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, MaxEntries: 5000}, false},
		{ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: 4, MaxEntries: 20000}, false},
		{ebpf.MapSpec{Type: ebpf.PerCPUHash, KeySize: 4, MaxEntries: 5000}, true},
		{ebpf.MapSpec{Type: ebpf.PerCPUHash, KeySize: 4, MaxEntries: 1}, true},
		{ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, MaxEntries: 7}, true},
		{ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, MaxEntries: 7}, false},
	} {
		t.Run(tc.spec.Type.String(), func(t *testing.T) {
			tc.spec.ValueSize = 8 * words
			m, err := ebpf.NewMap(&tc.spec)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			n := min(int(tc.spec.MaxEntries), 3000)
			for key := range uint32(n) {
				copies, value := make([][words]uint64, cpus), any([words]uint64{uint64(key), 1, 2})
				if tc.perCPU {
					for c := range copies {
						copies[c] = [words]uint64{uint64(key), uint64(c), 1 << 40}
					}
					value = copies
				}
				if err := m.Put(key, value); err != nil {
					t.Fatal(err)
				}
			}
			table, err := newRaw(m)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // buffers are used again
				rows, err := table.rows()
				if err != nil {
					t.Fatal(err)
				}
				seen := make(map[uint32]bool)
				for _, r := range rows {
					key := binary.NativeEndian.Uint32(r.key)
					seen[key] = true
					want := [words]uint64{uint64(key), 1, 2}
					if tc.perCPU {
						want = [words]uint64{uint64(key) * uint64(cpus), uint64(cpus * (cpus - 1) / 2), uint64(cpus) << 40}
					}
					if [words]uint64(r.words) != want {
						t.Fatalf("row %d is %v, want %v", key, r.words, want)
					}
				}
				if len(rows) != n || len(seen) != n {
					t.Errorf("%d rows, %d different, want %d", len(rows), len(seen), n)
				}
			}
		})
	}
}

// TestTableGrowsItsBatch reads a hash with a batch smaller than a bucket.
func TestTableGrowsItsBatch(t *testing.T) {
	needMaps(t)
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for key := range uint32(1000) {
		if err := m.Put(key, uint64(key)); err != nil {
			t.Fatal(err)
		}
	}
	table, err := newRaw(m)
	if err != nil {
		t.Fatal(err)
	}
	table.allocate(1)
	rows, err := table.rows()
	if err != nil || len(rows) != 1000 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if table.batch.size == 1 {
		t.Error("no bucket had two entries: the test shows nothing")
	}
}
