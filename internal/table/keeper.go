// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// keeper gives up rows that are stale: those of an owner that is gone, and those
// of a generation that is over. What they counted moves to the archive within one
// reading, so no count is lost, and sums over all rows never fall.
type keeper struct {
	layout  *layout
	limit   int          // rows of names
	most    int          // that move in one reading, or some more
	owners  label.Owners // nil if the rows have none
	rows    *raw
	ledger  *ledger
	present store // the number of the generation; nil if there are none
	done    *Barrier
	now     func() uint64
}

// generationSection holds the variable that says the present generation.
const generationSection = ".data.generation"

// atOnce is how many rows move in one reading: it has a deadline.
const atOnce = 4096

// How long a generation lasts, and how long a name stays that nobody uses, in
// nanoseconds.
const (
	lasts      = 600e9 // at most
	sharesLast = 60e9  // at least, if all that found no room was beyond somebody's share
	stays      = 3600e9
)

func newKeeper(spec collector.Table, l *layout, rows *raw, maps func(string) *ebpf.Map, done *Barrier) (*keeper, error) {
	if !IsHash(rows.m.Type()) {
		return nil, errors.New("rows that go must be in a hash")
	}
	k := &keeper{layout: l, limit: int(limit(spec, rows.m.MaxEntries())), most: atOnce, rows: rows, done: done, now: sinceBoot}
	if spec.Owners != nil {
		k.owners = spec.Owners.As()
	}
	if l.hasGenerations() {
		present := maps(generationSection)
		if present == nil {
			return nil, fmt.Errorf("the object has no variable in section %s", generationSection)
		}
		k.present = present
	}
	var err error
	if k.ledger, err = newLedger(rows.m, maps(spec.Map+collector.Archive), maps(spec.Map+collector.Journal)); err != nil {
		return nil, err
	}
	return k, nil
}

// sinceBoot returns the time, in nanoseconds; a machine that sleeps goes on.
func sinceBoot() uint64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // every kernel has it
	return uint64(now.Nano())
}

// load reads the archive and the journal. It returns the rows without that whose
// move was interrupted: the archive has it.
func (k *keeper) load(c contents) (contents, error) {
	passOver, err := k.ledger.load()
	c.names = slices.DeleteFunc(c.names, func(r rawRow) bool { return passOver != nil && string(r.key) == string(passOver) })
	return c, err
}

// settle gives up what is stale. It returns all rows as they are then: with an
// error, nothing is missing and nothing twice.
func (k *keeper) settle(c contents) (contents, error) {
	if err := k.ledger.resume(); err != nil {
		return c, err
	}
	generation, err := k.begin(c, k.now())
	if err != nil {
		return c, err
	}
	old := func(r rawRow) bool { return k.layout.generationOf(r.key) < generation }
	if slices.ContainsFunc(c.names, old) {
		// A program that still adds to such a row began to run before the
		// generation was over.
		if err := k.done.wait(); err != nil {
			return c, fmt.Errorf("waiting for programs to end: %w", err)
		}
		rows, err := k.rows.rows()
		if err != nil {
			return c, err
		}
		c = k.layout.split(rows)
	}
	gone, err := k.gone(c)
	if err != nil {
		return c, err
	}
	c.names, err = k.clear(c.names, old, gone)
	if err != nil {
		return c, err
	}
	return c, k.ledger.close()
}

// begin begins a generation, if the present one lasts too long or has no room. It
// returns the present one then; 0 if the table has none.
func (k *keeper) begin(c contents, now uint64) (uint32, error) {
	if k.present == nil {
		return 0, nil
	}
	value, err := k.present.LookupBytes(uint32(0))
	if err != nil {
		return 0, fmt.Errorf("reading the generation: %w", err)
	}
	number := binary.NativeEndian.Uint32(value)
	present := &k.ledger.journal.generation
	refused, shares := k.layout.refused(c.overflow)
	refused -= shares
	if present.number == 0 {
		*present = generation{number: uint64(number), began: now}
	}
	if present.number != uint64(number) { // another table's doing
		*present = generation{number: uint64(number), began: now, refused: refused, shares: shares}
	}
	rows := present.left
	for _, r := range c.names {
		if k.layout.generationOf(r.key) == number {
			rows++
		}
	}
	crowded := 4*rows >= 3*uint64(k.limit) || present.refused != refused
	// Whoever has used up a share would have another one at every reading.
	crowded = crowded || present.shares != shares && (rows == 0 || now >= present.began+sharesLast)
	if !crowded && (rows == 0 || now < present.began+lasts) {
		return number, nil
	}
	number++
	if err := k.present.Update(uint32(0), number, ebpf.UpdateAny); err != nil {
		return 0, fmt.Errorf("beginning a generation: %w", err)
	}
	*present = generation{number: uint64(number), began: now, refused: refused, shares: shares}
	return number, nil
}

// gone asks whose owners are gone, and waits until no program counts for one.
func (k *keeper) gone(c contents) (map[string]bool, error) {
	if k.owners == nil {
		return nil, nil
	}
	asked := make(map[string]bool)
	for _, r := range c.names {
		asked[k.layout.ownerOf(string(r.key))] = true
	}
	for p := range k.ledger.moved {
		if p.kind == named {
			asked[k.layout.ownerOf(p.key)] = true
		}
	}
	gone := k.owners.Look(asked)
	if !slices.ContainsFunc(c.names, func(r rawRow) bool { return gone[k.layout.ownerOf(string(r.key))] }) {
		return gone, nil
	}
	// A program that still adds to such a row began to run before its task
	// left the owner, and so before the owner was gone.
	if err := k.done.wait(); err != nil {
		return nil, fmt.Errorf("waiting for programs to end: %w", err)
	}
	return gone, nil
}

// row reads a row that nobody adds to any more.
func (r *raw) row(key []byte) ([]uint64, error) {
	value, err := r.m.LookupBytes(key)
	if err == nil && value == nil {
		err = ebpf.ErrKeyNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("reading a row of %v: %w", r.m, err)
	}
	return r.merge(r.decode(value)), nil
}
