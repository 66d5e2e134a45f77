// SPDX-License-Identifier: Apache-2.0

package table

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
)

// failing is a map that fails from a point on: for good, as for a process
// that was killed, or once.
type failing struct {
	store
	plan *plan
}

type plan struct {
	left   int // calls that work
	once   bool
	failed int
}

var errInterrupted = errors.New("interrupted")

func (p *plan) step() error {
	p.left--
	if p.left < 0 && (!p.once || p.left == -1) {
		p.failed++
		return errInterrupted
	}
	return nil
}

func (f failing) Update(key, value any, flags ebpf.MapUpdateFlags) error {
	if err := f.plan.step(); err != nil {
		return err
	}
	return f.store.Update(key, value, flags)
}

func (f failing) Delete(key any) error {
	if err := f.plan.step(); err != nil {
		return err
	}
	return f.store.Delete(key)
}

func (f failing) LookupBytes(key any) ([]byte, error) {
	if err := f.plan.step(); err != nil {
		return nil, err
	}
	return f.store.LookupBytes(key)
}

// interrupt lets the table's system calls fail as planned, but for those that read
// whole maps.
func (c *city) interrupt(p *plan) {
	l := c.keeper.ledger
	l.rows, l.archive, l.pages = failing{l.rows, p}, failing{l.archive, p}, failing{l.pages, p}
	c.keeper.present = failing{c.keeper.present, p}
}

// TestInterruptedMoves interrupts the moves at each of their changes to a map, as
// a kill does, or one call that fails. Nothing is ever missing or twice, neither
// in the reading that fails nor after.
func TestInterruptedMoves(t *testing.T) {
	for _, tc := range []struct {
		name         string
		once, adopts bool
	}{
		{"killed, then adopted", false, true},
		{"one call fails, then adopted", true, true},
		{"one call fails, then read again", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for at := 0; ; at++ {
				failed := interruptedAt(t, &plan{left: at, once: tc.once}, tc.adopts)
				if failed == 0 {
					if at < 30 {
						t.Errorf("all is done in %d changes: the test shows little", at)
					}
					break
				}
			}
		})
	}
}

// interruptedAt goes through all kinds of moves: of a generation that is over, of
// owners that are gone, from the archive, and of the oldest names.
func interruptedAt(t *testing.T, p *plan, adopts bool) (failed int) {
	const rows = 8
	c := newCity(t, rows)
	for name := range uint32(rows - 1) {
		c.count(t, name, name%2, 1+name%3, uint64(1+name))
	}
	c.look(t)
	c.clock += 1e9
	for name := range uint32(rows - 2) {
		c.count(t, 4+name, name%2, 1+name%3, uint64(100+name))
	}
	c.owners.gone[1] = true
	c.owners.gone[3] = true
	c.interrupt(p)
	read, err := c.Read()
	if (err != nil) != (p.failed > 0) {
		t.Fatalf("%d changes failed: %v", p.failed, err)
	}
	if read.Rows != nil {
		c.check(t, read)
	}
	failed = p.failed
	p.left = 1 << 30
	if adopts {
		c.adopt(t)
	}
	c.look(t)
	c.count(t, 5, 0, 2, 7)
	c.clock += 700e9
	served, _ := c.look(t)
	for labels := range served {
		if labels[len(labels)-8:] == "owner 1]" || labels[len(labels)-8:] == "owner 3]" {
			t.Fatalf("an owner that is gone is served: %v", served)
		}
	}
	return failed
}

// TestInterruptedReading says that a reading that can do none of the rest of a
// move serves it as done.
func TestInterruptedReading(t *testing.T) {
	for at := range 30 {
		c := newCity(t, 8)
		for name := range uint32(8) {
			c.count(t, name, name%2, 1+name%3, uint64(1+name))
		}
		c.interrupt(&plan{left: at})
		_, _ = c.Read()
		c.adopt(t)
		c.interrupt(&plan{left: 0})
		for range 2 {
			if read, _ := c.Read(); read.Rows != nil {
				c.check(t, read)
			}
		}
		c.adopt(t)
		served, _ := c.look(t)
		if len(served) != 8 {
			t.Errorf("served: %v", served)
		}
	}
}
