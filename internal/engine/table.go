// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// row is one key of a map and its value, summed over the CPUs.
type row struct {
	key   []byte
	words []uint64
}

// A batch is read by one call of the kernel: at first as many rows as fit
// here, since a value has a copy for every CPU.
const (
	batchRows  = 256
	batchBytes = 64 << 10
)

// table reads a map whose values are made of 64-bit counters. It is used by
// one goroutine at a time.
type table struct {
	m      *ebpf.Map
	words  int // of one value
	perCPU bool
	cpus   int // copies of a value

	// The batch and its size in rows, for hashes.
	size   int
	most   int // rows that there ever were
	keys   reflect.Value
	values any
	flat   []uint64

	copies []uint64 // what decode decoded last
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
		t.perCPU, t.cpus = true, cpus
	}
	if isHash(m.Type()) {
		fit := batchBytes / (8 * t.words * t.cpus)
		t.allocate(min(max(fit, 1), batchRows, int(m.MaxEntries())))
		t.provoke()
	}
	return t, nil
}

// provoke makes a batch fail. The library then finds out whether the kernel has
// batches at all, once and for good, and takes "not permitted" for "no". So it
// must do so now, while it is permitted, and not when capabilities are given up.
func (t *table) provoke() {
	var cursor ebpf.MapBatchCursor
	_, _ = t.m.BatchLookup(&cursor, t.keys.Interface(), t.values, &ebpf.BatchOptions{ElemFlags: math.MaxUint64})
}

// rows reads every row.
func (t *table) rows() ([]row, error) {
	if isHash(t.m.Type()) {
		return t.batched()
	}
	return t.indexed()
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
		rows = append(rows, row{key, t.merge(t.decode(value))})
	}
	return rows, nil
}

// batched reads a hash by BPF_MAP_LOOKUP_BATCH (Linux 5.6, 057996380a42 "bpf:
// Add batch ops to all htab bpf map").
func (t *table) batched() ([]row, error) {
	for {
		rows, err := t.batchedBy()
		// All rows of one of the hash's buckets must fit in a batch.
		if !errors.Is(err, unix.ENOSPC) || t.size >= int(t.m.MaxEntries()) {
			return rows, err
		}
		t.allocate(min(4*t.size, int(t.m.MaxEntries())))
	}
}

// allocate makes room for a batch of size rows: the values as plain counters
// for per-CPU maps, as the library wants them, else an array for each.
func (t *table) allocate(size int) {
	t.size = size
	key := reflect.ArrayOf(int(t.m.KeySize()), reflect.TypeFor[byte]())
	t.keys = reflect.MakeSlice(reflect.SliceOf(key), size, size)
	t.flat = make([]uint64, size*t.words*t.cpus)
	t.values = t.flat
	if !t.perCPU {
		value := reflect.ArrayOf(8*t.words, reflect.TypeFor[byte]())
		t.values = reflect.MakeSlice(reflect.SliceOf(value), size, size).Interface()
	}
}

func (t *table) batchedBy() ([]row, error) {
	rows := make([]row, 0, t.most)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.m.BatchLookup(&cursor, t.keys.Interface(), t.values, nil)
		done := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !done {
			return nil, fmt.Errorf("reading %v: %w", t.m, err)
		}
		// The rows outlive the batch. One piece of memory for all is less work
		// than two for each.
		size := int(t.m.KeySize())
		keys, words := make([]byte, n*size), make([]uint64, n*t.words)
		for i := range n {
			value := t.flat[i*t.words*t.cpus:][:t.words*t.cpus]
			if !t.perCPU {
				value = t.decode(reflect.ValueOf(t.values).Index(i).Bytes())
			}
			r := row{keys[i*size:][:size:size], words[i*t.words:][:t.words:t.words]}
			copy(r.key, t.keys.Index(i).Bytes())
			t.sum(r.words, value)
			rows = append(rows, r)
		}
		if done {
			t.most = max(t.most, len(rows))
			return rows, nil
		}
	}
}

// merge sums the CPUs' copies of a value.
func (t *table) merge(copies []uint64) []uint64 {
	words := make([]uint64, t.words)
	t.sum(words, copies)
	return words
}

func (t *table) sum(words, copies []uint64) {
	for cpu := range t.cpus {
		for i, w := range copies[cpu*t.words:][:t.words] {
			words[i] += w
		}
	}
}

// decode yields the counters of a value, until the next one is decoded.
func (t *table) decode(value []byte) []uint64 {
	t.copies = t.copies[:0]
	for ; len(value) > 0; value = value[8:] {
		t.copies = append(t.copies, binary.NativeEndian.Uint64(value))
	}
	return t.copies
}

func isHash(t ebpf.MapType) bool {
	switch t {
	case ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		return true
	}
	return false
}
