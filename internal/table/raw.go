// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// rawRow is one key of a map and its value, summed over the CPUs.
type rawRow struct {
	key   []byte
	words []uint64
}

// A batch is read by one call of the kernel: at first as many rows as fit
// here, since a value has a copy for every CPU.
const (
	batchRows  = 64
	batchBytes = 16 << 10
)

// raw reads a map whose values are made of 64-bit counters. It is used by one
// goroutine at a time.
type raw struct {
	m      *ebpf.Map
	words  int // of one value
	perCPU bool
	cpus   int // copies of a value
	batch  batch
	most   int      // rows that there ever were
	copies []uint64 // what decode decoded last
}

// batch is the memory that one call of the kernel fills with rows of a hash.
type batch struct {
	size   int // in rows
	keys   reflect.Value
	values any
	flat   []uint64 // the values, if the map is per CPU
}

func newRaw(m *ebpf.Map) (*raw, error) {
	if m.ValueSize()%8 != 0 {
		return nil, fmt.Errorf("map %v: a value of %d bytes is not made of 64-bit counters", m, m.ValueSize())
	}
	r := &raw{m: m, words: int(m.ValueSize()) / 8, cpus: 1}
	switch m.Type() {
	case ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		cpus, err := ebpf.PossibleCPU()
		if err != nil {
			return nil, fmt.Errorf("counting CPUs: %w", err)
		}
		r.perCPU, r.cpus = true, cpus
	}
	if IsHash(m.Type()) {
		fit := batchBytes / (8 * r.words * r.cpus)
		r.allocate(min(max(fit, 1), batchRows, int(m.MaxEntries())))
		r.provoke()
	}
	return r, nil
}

// provoke makes a batch fail. The library then finds out whether the kernel has
// batches at all, once and for good, and takes "not permitted" for "no". So it
// must do so now, while it is permitted, and not when capabilities are given up.
func (r *raw) provoke() {
	var cursor ebpf.MapBatchCursor
	_, _ = r.m.BatchLookup(&cursor, r.batch.keys.Interface(), r.batch.values, &ebpf.BatchOptions{ElemFlags: math.MaxUint64})
}

// rows reads every row.
func (r *raw) rows() ([]rawRow, error) {
	if IsHash(r.m.Type()) {
		return r.batched()
	}
	return r.indexed()
}

// indexed reads an array, an element at a time: our arrays are short, their
// values long.
func (r *raw) indexed() ([]rawRow, error) {
	rows := make([]rawRow, 0, r.m.MaxEntries())
	for i := range r.m.MaxEntries() {
		key := binary.NativeEndian.AppendUint32(nil, i)
		value, err := r.m.LookupBytes(i)
		if err != nil {
			return nil, fmt.Errorf("reading element %d of %v: %w", i, r.m, err)
		}
		rows = append(rows, rawRow{key, r.merge(r.decode(value))})
	}
	return rows, nil
}

// batched reads a hash by BPF_MAP_LOOKUP_BATCH (Linux 5.6, 057996380a42 "bpf:
// Add batch ops to all htab bpf map").
func (r *raw) batched() ([]rawRow, error) {
	for {
		rows, err := r.batchedBy()
		// All rows of one of the hash's buckets must fit in a batch.
		if !errors.Is(err, unix.ENOSPC) || r.batch.size >= int(r.m.MaxEntries()) {
			return rows, err
		}
		r.allocate(min(4*r.batch.size, int(r.m.MaxEntries())))
	}
}

// allocate makes room for a batch of size rows: the values as plain counters
// for per-CPU maps, as the library wants them, else an array for each.
func (r *raw) allocate(size int) {
	r.batch.size = size
	key := reflect.ArrayOf(int(r.m.KeySize()), reflect.TypeFor[byte]())
	r.batch.keys = reflect.MakeSlice(reflect.SliceOf(key), size, size)
	if r.perCPU {
		r.batch.flat = make([]uint64, size*r.words*r.cpus)
		r.batch.values = r.batch.flat
		return
	}
	value := reflect.ArrayOf(8*r.words, reflect.TypeFor[byte]())
	r.batch.values = reflect.MakeSlice(reflect.SliceOf(value), size, size).Interface()
}

func (r *raw) batchedBy() ([]rawRow, error) {
	rows := make([]rawRow, 0, r.most)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := r.m.BatchLookup(&cursor, r.batch.keys.Interface(), r.batch.values, nil)
		done := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !done {
			return nil, fmt.Errorf("reading %v: %w", r.m, err)
		}
		// The rows outlive the batch. One piece of memory for all is less work
		// than two for each.
		size := int(r.m.KeySize())
		keys, words := make([]byte, n*size), make([]uint64, n*r.words)
		for i := range n {
			row := rawRow{keys[i*size:][:size:size], words[i*r.words:][:r.words:r.words]}
			copy(row.key, r.batch.keys.Index(i).Bytes())
			r.sum(row.words, r.value(i))
			rows = append(rows, row)
		}
		if done {
			r.most = max(r.most, len(rows))
			return rows, nil
		}
	}
}

// value returns the copies of the value of a row of the batch, until the next.
func (r *raw) value(i int) []uint64 {
	if r.perCPU {
		return r.batch.flat[i*r.words*r.cpus:][:r.words*r.cpus]
	}
	return r.decode(reflect.ValueOf(r.batch.values).Index(i).Bytes())
}

// merge sums the CPUs' copies of a value.
func (r *raw) merge(copies []uint64) []uint64 {
	words := make([]uint64, r.words)
	r.sum(words, copies)
	return words
}

func (r *raw) sum(words, copies []uint64) {
	for cpu := range r.cpus {
		for i, w := range copies[cpu*r.words:][:r.words] {
			words[i] += w
		}
	}
}

// decode yields the counters of a value, until the next one is decoded.
func (r *raw) decode(value []byte) []uint64 {
	r.copies = r.copies[:0]
	for ; len(value) > 0; value = value[8:] {
		r.copies = append(r.copies, binary.NativeEndian.Uint64(value))
	}
	return r.copies
}

// IsHash reports whether maps of the type are hashes, whose rows are read in
// batches and which may be full.
func IsHash(t ebpf.MapType) bool {
	switch t {
	case ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		return true
	}
	return false
}

// touch reads one row at most, by the call that reading takes.
func (r *raw) touch() error {
	if !IsHash(r.m.Type()) {
		_, err := r.m.LookupBytes(uint32(0))
		return err
	}
	var cursor ebpf.MapBatchCursor
	_, err := r.m.BatchLookup(&cursor, r.batch.keys.Interface(), r.batch.values, nil)
	if errors.Is(err, ebpf.ErrKeyNotExist) || errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}
