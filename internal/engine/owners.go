// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// owned is a table whose rows have owners that come and go. What the rows of
// one that is gone have counted moves to rows of no owner, which nobody but
// this type writes: so no count is lost, and sums over all rows never fall.
type owned struct {
	field  string
	owner  member
	kept   member // what the rows for the rest are told apart by
	owners label.Owners
	table  *table
	done   *barrier
}

// findOwned prepares the maps whose rows have owners.
func (u *unit) findOwned(obj *ebpf.CollectionSpec) error {
	u.owned = make(map[string]*owned)
	for _, m := range u.spec.Maps {
		loaded := u.coll.Maps[m.Name]
		if m.Owners == nil || loaded == nil {
			continue
		}
		t, err := newTable(loaded)
		if err != nil {
			return err
		}
		o, err := newOwned(m, obj.Maps[m.Name], t)
		if err != nil {
			return fmt.Errorf("owners of map %s: %w", m.Name, err)
		}
		u.owned[m.Name], u.tables[m.Name] = o, t
	}
	return nil
}

func newOwned(m collector.Map, spec *ebpf.MapSpec, t *table) (*owned, error) {
	if t.m.Type() != ebpf.PerCPUHash {
		return nil, errors.New("rows of owners must be in a per-CPU hash, where changing one takes no memory")
	}
	owner, err := find(spec.Key, m.Owners.Field)
	if err != nil {
		return nil, err
	}
	var kept member // of no size: nothing
	if m.Other != "" {
		if kept, err = find(spec.Key, m.Other); err != nil {
			return nil, err
		}
	}
	done, err := newBarrier()
	if err != nil {
		return nil, err
	}
	return &owned{m.Owners.Field, owner, kept, m.Owners.As(), t, done}, nil
}

// rest is the key of the row for what has no room among those of no owner.
func (o *owned) rest(key []byte) []byte {
	rest := make([]byte, len(key))
	copy(rest[o.kept.offset:][:o.kept.size], key[o.kept.offset:])
	return o.owner.ownerless(rest)
}

// ownerless sets all bits of a key's owner, and returns the key.
func (m member) ownerless(key []byte) []byte {
	copy(key[m.offset:], bytes.Repeat([]byte{0xff}, m.size))
	return key
}

func (m member) isOwnerless(key []byte) bool {
	return bytes.Count(key[m.offset:][:m.size], []byte{0xff}) == m.size
}

// others sums up the reserved rows. Those of owners that are gone fitted once.
func (o *owned) others(rows []row, reserved map[string]bool) (sum uint64) {
	for _, r := range rows {
		if reserved[string(r.key)] && (o == nil || !o.owner.isOwnerless(r.key)) {
			sum += r.words[0]
		}
	}
	return sum
}

// settle gives up the rows whose owner is gone, and returns the others.
func (o *owned) settle(rows []row, reserved map[string]bool) ([]row, error) {
	asked := make(map[string]bool)
	for _, r := range rows {
		if !reserved[string(r.key)] && !o.owner.isOwnerless(r.key) {
			asked[o.of(r)] = true
		}
	}
	gone := o.owners.Look(asked)
	if len(gone) == 0 {
		return rows, nil
	}
	// A program that still adds to such a row began to run before its task
	// left the owner, and so before the owner was gone.
	if err := o.done.wait(); err != nil {
		return rows, fmt.Errorf("waiting for programs to end: %w", err)
	}
	return o.inherit(rows, gone)
}

func (o *owned) of(r row) string { return string(r.key[o.owner.offset:][:o.owner.size]) }

// inherit moves what the rows of the gone have counted. Whatever goes wrong, the
// rows that are returned are those that there are.
func (o *owned) inherit(rows []row, gone map[string]bool) ([]row, error) {
	kept := make([]row, 0, len(rows))
	heirs := make(map[string]int) // rows of no owner, as indices of kept
	var left []row
	for _, r := range rows {
		if gone[o.of(r)] {
			left = append(left, r)
			continue
		}
		if o.owner.isOwnerless(r.key) {
			heirs[string(r.key)] = len(kept)
		}
		kept = append(kept, r)
	}
	for i, r := range left {
		rest, ok := heirs[string(o.rest(r.key))]
		if !ok {
			return append(kept, left[i:]...), errors.New("the row for the rest of the gone is missing")
		}
		last, err := o.table.take(r.key)
		if err != nil {
			return append(kept, left[i:]...), err
		}
		heir := row{key: o.owner.ownerless(bytes.Clone(r.key)), words: last}
		at, ok := heirs[string(heir.key)]
		// The row that was taken leaves room, unless a program was faster.
		if !ok && 2*len(heirs) < int(o.table.m.MaxEntries()) && o.table.put(heir) == nil {
			heirs[string(heir.key)] = len(kept)
			kept = append(kept, heir)
			continue
		}
		if !ok {
			at = rest
		}
		for word, n := range last {
			kept[at].words[word] += n
		}
		if err := o.table.put(kept[at]); err != nil {
			return append(kept, left[i+1:]...), err
		}
	}
	return kept, nil
}

// take removes a row that nobody adds to any more, and returns what it counted.
func (t *table) take(key []byte) ([]uint64, error) {
	value, err := t.m.LookupBytes(key)
	if err == nil && value == nil {
		err = ebpf.ErrKeyNotExist
	}
	if err == nil {
		err = t.m.Delete(key)
	}
	if err != nil {
		return nil, fmt.Errorf("giving up a row of %v: %w", t.m, err)
	}
	return t.merge(t.decode(value)), nil
}

// put sets a row that no program adds to: one CPU's copy has it all.
func (t *table) put(r row) error {
	copies := make([][]byte, t.cpus)
	for cpu := range copies {
		copies[cpu] = make([]byte, 8*t.words)
	}
	for i, n := range r.words {
		binary.NativeEndian.PutUint64(copies[0][8*i:], n)
	}
	if err := t.m.Update(r.key, copies, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("moving counts to a row of %v: %w", t.m, err)
	}
	return nil
}
