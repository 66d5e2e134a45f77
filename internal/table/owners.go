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
	"github.com/kernscope/kernscope/internal/label"
)

// owned are rows that have owners that come and go. What stale rows, those of
// an owner that is gone, have counted moves to rows of no owner, which nobody
// but this type writes: so no count is lost, and sums over all rows never fall.
type owned struct {
	owner  Member
	kept   Member // what the overflow rows are told apart by
	owners label.Owners
	raw    *raw
	done   *barrier
}

func newOwned(spec collector.Table, key btf.Type, rows *raw) (*owned, error) {
	if rows.m.Type() != ebpf.PerCPUHash {
		return nil, errors.New("rows of owners must be in a per-CPU hash, where changing one takes no memory")
	}
	owner, err := Find(key, spec.Owners.Field)
	if err != nil {
		return nil, err
	}
	var kept Member // of no size: nothing
	if spec.Overflow != nil && spec.Overflow.Each != "" {
		if kept, err = Find(key, spec.Overflow.Each); err != nil {
			return nil, err
		}
	}
	done, err := newBarrier()
	if err != nil {
		return nil, err
	}
	return &owned{owner: owner, kept: kept, owners: spec.Owners.As(), raw: rows, done: done}, nil
}

// rest returns the key of the overflow row among those of no owner.
func (o *owned) rest(key []byte) []byte {
	rest := make([]byte, len(key))
	copy(rest[o.kept.offset:][:o.kept.size], key[o.kept.offset:])
	return o.owner.ownerless(rest)
}

// ownerless sets all bits of a key's owner, and returns the key.
func (m Member) ownerless(key []byte) []byte {
	copy(key[m.offset:], bytes.Repeat([]byte{0xff}, m.size))
	return key
}

func (m Member) isOwnerless(key []byte) bool {
	return bytes.Count(key[m.offset:][:m.size], []byte{0xff}) == m.size
}

// settle gives up the rows whose owner is gone, and returns the others.
func (o *owned) settle(rows []rawRow, overflow map[string]bool) ([]rawRow, error) {
	asked := make(map[string]bool)
	for _, r := range rows {
		if !overflow[string(r.key)] && !o.owner.isOwnerless(r.key) {
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

func (o *owned) of(r rawRow) string { return string(r.key[o.owner.offset:][:o.owner.size]) }

// inherit moves what the rows of the gone have counted. Whatever goes wrong, the
// rows that are returned are those that there are.
func (o *owned) inherit(rows []rawRow, gone map[string]bool) ([]rawRow, error) {
	kept := make([]rawRow, 0, len(rows))
	heirs := make(map[string]int) // rows of no owner, as indices of kept
	var left []rawRow
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
			return append(kept, left[i:]...), errors.New("the overflow row of owners that are gone is missing")
		}
		last, err := o.raw.take(r.key)
		if err != nil {
			return append(kept, left[i:]...), err
		}
		heir := rawRow{key: o.owner.ownerless(bytes.Clone(r.key)), words: last}
		at, ok := heirs[string(heir.key)]
		// The row that was taken leaves room, unless a program was faster.
		if !ok && 2*len(heirs) < int(o.raw.m.MaxEntries()) && o.raw.put(heir) == nil {
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
		if err := o.raw.put(kept[at]); err != nil {
			return append(kept, left[i+1:]...), err
		}
	}
	return kept, nil
}

// take removes a row that nobody adds to any more, and returns what it counted.
func (r *raw) take(key []byte) ([]uint64, error) {
	value, err := r.m.LookupBytes(key)
	if err == nil && value == nil {
		err = ebpf.ErrKeyNotExist
	}
	if err == nil {
		err = r.m.Delete(key)
	}
	if err != nil {
		return nil, fmt.Errorf("giving up a row of %v: %w", r.m, err)
	}
	return r.merge(r.decode(value)), nil
}

// put sets a row that no program adds to: one CPU's copy has it all.
func (r *raw) put(row rawRow) error {
	copies := make([][]byte, r.cpus)
	for cpu := range copies {
		copies[cpu] = make([]byte, 8*r.words)
	}
	for i, n := range row.words {
		binary.NativeEndian.PutUint64(copies[0][8*i:], n)
	}
	if err := r.m.Update(row.key, copies, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("moving counts to a row of %v: %w", r.m, err)
	}
	return nil
}
