// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// row is one key of a map and its value, summed over the CPUs.
type row struct {
	key   []byte
	words []uint64
}

// batch is how many rows are read by one call of the kernel, at first.
const batch = 64

// table reads a map whose values are made of 64-bit counters. It is used by
// one goroutine at a time.
type table struct {
	m     *ebpf.Map
	words int // of one value
	cpus  int // copies of a value
}

func newTable(m *ebpf.Map) (*table, error) {
	if m.ValueSize()%8 != 0 {
		return nil, fmt.Errorf("map %v: a value of %d bytes is not made of 64-bit counters", m, m.ValueSize())
	}
	t := &table{m: m, words: int(m.ValueSize()) / 8, cpus: 1}
	switch m.Type() {
	case ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		cpus, err := ebpf.PossibleCPU()
		if err != nil {
			return nil, fmt.Errorf("counting CPUs: %w", err)
		}
		t.cpus = cpus
	}
	return t, nil
}

// rows reads every row.
func (t *table) rows() ([]row, error) {
	switch t.m.Type() {
	case ebpf.Array, ebpf.PerCPUArray:
		return t.indexed()
	}
	rows, err := t.batched()
	if errors.Is(err, ebpf.ErrNotSupported) {
		return t.walked()
	}
	return rows, err
}

// indexed reads an array, an element at a time: our arrays are short, their
// values long.
func (t *table) indexed() ([]row, error) {
	rows := make([]row, 0, t.m.MaxEntries())
	for i := range t.m.MaxEntries() {
		key := binary.NativeEndian.AppendUint32(nil, i)
		value, err := t.m.LookupBytes(i)
		if err != nil {
			return nil, fmt.Errorf("reading element %d of %v: %w", i, t.m, err)
		}
		rows = append(rows, row{key, t.merge(decode(value))})
	}
	return rows, nil
}

// batched reads a hash by BPF_MAP_LOOKUP_BATCH (Linux 5.6, 057996380a42 "bpf:
// Add batch ops to all htab bpf map").
func (t *table) batched() ([]row, error) {
	for size := batch; ; size *= 4 {
		rows, err := t.batchedBy(min(size, int(t.m.MaxEntries())))
		// A bucket of the hash must fit in a batch.
		if !errors.Is(err, unix.ENOSPC) || size >= int(t.m.MaxEntries()) {
			return rows, err
		}
	}
}

func (t *table) batchedBy(size int) ([]row, error) {
	var rows []row
	var cursor ebpf.MapBatchCursor
	keys := reflect.MakeSlice(reflect.SliceOf(reflect.ArrayOf(int(t.m.KeySize()), reflect.TypeFor[byte]())), size, size)
	values := t.valueBuffer(size)
	for {
		n, err := t.m.BatchLookup(&cursor, keys.Interface(), values.Interface(), nil)
		done := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !done {
			return nil, fmt.Errorf("reading %v: %w", t.m, err)
		}
		flat := t.flat(values)
		for i := range n {
			key := append([]byte(nil), keys.Index(i).Bytes()...)
			rows = append(rows, row{key, t.merge(flat[i*t.words*t.cpus:][:t.words*t.cpus])})
		}
		if done {
			return rows, nil
		}
	}
}

// valueBuffer is room for the values of a batch: plain counters for per-CPU
// maps, whose length the library does not check, else an array per value.
func (t *table) valueBuffer(size int) reflect.Value {
	if t.cpus > 1 || t.m.Type() == ebpf.PerCPUHash || t.m.Type() == ebpf.LRUCPUHash {
		return reflect.ValueOf(make([]uint64, size*t.words*t.cpus))
	}
	return reflect.MakeSlice(reflect.SliceOf(reflect.ArrayOf(t.words, reflect.TypeFor[uint64]())), size, size)
}

func (t *table) flat(values reflect.Value) []uint64 {
	if flat, ok := values.Interface().([]uint64); ok {
		return flat
	}
	flat := make([]uint64, 0, values.Len()*t.words)
	for i := range values.Len() {
		element := values.Index(i)
		for w := range t.words {
			flat = append(flat, element.Index(w).Uint())
		}
	}
	return flat
}

// walked reads a hash key by key. A row that is deleted meanwhile restarts the
// kernel's walk, so no more keys are taken than the map can hold.
func (t *table) walked() ([]row, error) {
	var rows []row
	var key any
	for range t.m.MaxEntries() {
		next, err := t.m.NextKeyBytes(key)
		if err != nil {
			return nil, fmt.Errorf("walking %v: %w", t.m, err)
		}
		if next == nil {
			break
		}
		key = next
		value, err := t.m.LookupBytes(next)
		if err != nil {
			return nil, fmt.Errorf("reading %v: %w", t.m, err)
		}
		if value != nil {
			rows = append(rows, row{next, t.merge(decode(value))})
		}
	}
	return rows, nil
}

// merge sums the CPUs' copies of a value.
func (t *table) merge(copies []uint64) []uint64 {
	words := make([]uint64, t.words)
	for cpu := range t.cpus {
		for i, w := range copies[cpu*t.words:][:t.words] {
			words[i] += w
		}
	}
	return words
}

func decode(value []byte) []uint64 {
	words := make([]uint64, len(value)/8)
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(value[8*i:])
	}
	return words
}
