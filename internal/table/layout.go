// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
)

// layout says what the members of a key mean. Those that a table does not have
// are of no size.
type layout struct {
	size       int
	owner      Member // whom the row belongs to
	each       Member // what overflow rows are told apart by
	values     []uint32
	generation Member            // in which the row was added
	first      uint32            // generation that is one
	reasons    map[uint32]string // that stand in place of a generation in overflow rows
	overflow   map[string]string // keys of overflow rows, and why one is used
}

func newLayout(spec collector.Table, def *ebpf.MapSpec) (*layout, error) {
	l := &layout{size: int(def.KeySize), values: []uint32{0}, reasons: make(map[uint32]string)}
	var err error
	if spec.Owners != nil {
		if l.owner, err = Find(def.Key, spec.Owners.Field); err != nil {
			return nil, fmt.Errorf("owners: %w", err)
		}
	}
	if spec.Overflow != nil && spec.Overflow.Each != "" {
		if l.each, err = Find(def.Key, spec.Overflow.Each); err != nil {
			return nil, err
		}
		enum, ok := l.each.typ.(*btf.Enum)
		if !ok || l.each.size != 4 {
			return nil, fmt.Errorf("%s is no 32-bit enum", spec.Overflow.Each)
		}
		l.values = nil
		for _, v := range enum.Values {
			l.values = append(l.values, uint32(v.Value))
		}
	}
	if l.findGeneration(def.Key); l.hasGenerations() != (spec.Bound != nil) {
		return nil, fmt.Errorf("a table has rows of generations if its key has a member of enum %s, and only then", generationEnum)
	}
	if len(l.values) > reservedArchive || l.hasGenerations() && len(l.values)*len(l.reasons) > reservedRows {
		return nil, fmt.Errorf("%d overflow rows are too many", len(l.values)*max(1, len(l.reasons)))
	}
	if spec.Overflow != nil {
		l.overflow = l.overflowKeys()
	}
	return l, nil
}

// generationEnum is the enum of bpf/generation.bpf.h. Its last enumerator is the
// first generation, the others are reasons.
const generationEnum = "row_generation"

func (l *layout) findGeneration(key btf.Type) {
	members, ok := btf.UnderlyingType(key).(*btf.Struct)
	if !ok {
		return
	}
	for _, m := range members.Members {
		enum, ok := btf.UnderlyingType(m.Type).(*btf.Enum)
		if !ok || enum.Name != generationEnum {
			continue
		}
		l.generation = Member{offset: int(m.Offset.Bytes()), size: 4, typ: enum}
		for number, name := range enumNames(enum) {
			l.first = max(l.first, uint32(number))
			l.reasons[uint32(number)] = name
		}
		delete(l.reasons, l.first)
	}
}

func (l *layout) hasGenerations() bool { return l.generation.size > 0 }

// generationOf returns the generation of a key; 0 if it has none.
func (l *layout) generationOf(key []byte) uint32 {
	if !l.hasGenerations() {
		return 0
	}
	return binary.NativeEndian.Uint32(key[l.generation.offset:])
}

// ownerOf returns a key's owner.
func (l *layout) ownerOf(key string) string { return key[l.owner.offset:][:l.owner.size] }

// overflowKeys returns the keys of the overflow rows, with the reason for which
// a program uses each; "" if there is but one.
func (l *layout) overflowKeys() map[string]string {
	keys := make(map[string]string)
	for _, value := range l.values {
		key := make([]byte, l.size)
		if l.each.size > 0 {
			binary.NativeEndian.PutUint32(key[l.each.offset:], value)
		}
		if !l.hasGenerations() {
			keys[string(key)] = ""
		}
		for _, number := range slices.Sorted(maps.Keys(l.reasons)) {
			binary.NativeEndian.PutUint32(key[l.generation.offset:], number)
			keys[string(key)] = l.reasons[number]
		}
	}
	return keys
}

// contents are the rows of a map.
type contents struct {
	names, overflow []rawRow
}

func (l *layout) split(rows []rawRow) contents {
	var c contents
	for _, r := range rows {
		if _, is := l.overflow[string(r.key)]; is {
			c.overflow = append(c.overflow, r)
		} else {
			c.names = append(c.names, r)
		}
	}
	return c
}

// place is where counts belong that a row has, or had: several rows of the same
// place are one for whoever asks.
type place struct {
	kind kind
	key  string // without a generation
}

// kind says what a key does not: no key of a program is taken for another.
type kind uint32

const (
	named     kind = iota // a row of its own
	ownerless             // of an owner that is gone, whoever it was
	idle                  // of names that were given up, whatever they were
	other                 // what found no room
)

// of returns the place of a row that is no overflow row.
func (l *layout) of(key []byte) place {
	return place{named, l.without(key, l.generation)}
}

func (l *layout) without(key []byte, m Member) string {
	rest := make([]byte, len(key))
	copy(rest, key)
	clear(rest[m.offset:][:m.size])
	return string(rest)
}

// ownerless returns the place that a place's counts move to when its owner is gone.
func (l *layout) ownerless(p place) place {
	return place{ownerless, l.without([]byte(p.key), l.owner)}
}

// idle returns the place that a place's counts move to when it is given up.
func (l *layout) idle(p place) place {
	rest := make([]byte, l.size)
	copy(rest[l.each.offset:][:l.each.size], p.key[l.each.offset:])
	return place{idle, string(rest)}
}

// Sizes of maps, in rows besides those that have names.
const (
	reservedRows    = 64
	reservedArchive = 32
)

// Fit sets how many rows of names a map may have, and adds the companions of its
// table to the object. "rows" is 0 where the definition in C says.
func Fit(spec collector.Table, obj *ebpf.CollectionSpec, rows uint32) {
	def := obj.Maps[spec.Map]
	if len(spec.Companions()) == 0 || def == nil {
		return
	}
	if rows > 0 {
		def.MaxEntries = rows
	}
	if rows > 0 && spec.Bound != nil {
		// A new generation begins before the old one is gone.
		def.MaxEntries += rows/2 + reservedRows
	}
	words := def.ValueSize/8 + 1
	obj.Maps[spec.Map+collector.Archive] = &ebpf.MapSpec{
		Name: spec.Map + collector.Archive, Type: ebpf.Hash, Flags: noPreallocation,
		KeySize: 4 + def.KeySize, ValueSize: 8 * words, MaxEntries: limit(spec, def.MaxEntries) + reservedArchive,
	}
	obj.Maps[spec.Map+collector.Journal] = &ebpf.MapSpec{
		Name: spec.Map + collector.Journal, Type: ebpf.Array,
		KeySize: 4, ValueSize: uint32(journalSize(int(def.KeySize), int(words))), MaxEntries: 1,
	}
}

// limit returns how many rows of names a table may have, of a map of this size.
// What it is where the machine bounds the map does not follow it: the archive
// outlives a map that became too small.
func limit(spec collector.Table, entries uint32) uint32 {
	if spec.Bound == nil {
		return 1024 - reservedArchive
	}
	return (2*(max(entries, reservedRows)-reservedRows) + 2) / 3
}
