// SPDX-License-Identifier: Apache-2.0

package table

import (
	"cmp"
	"slices"
)

// clearing is one time that rows are given up.
type clearing struct {
	keeper *keeper
	gone   map[string]bool // owners
	active map[place]bool  // places that programs add to in this generation
	oldest []place         // of the archive, that may be given up
	names  int             // rows of the archive that have one
	now    uint64
}

// clear moves rows that are stale, and makes room in the archive. It returns the
// other rows.
func (k *keeper) clear(rows []rawRow, old func(rawRow) bool, gone map[string]bool) ([]rawRow, error) {
	c := &clearing{keeper: k, gone: gone, active: make(map[place]bool, len(rows)), now: k.now()}
	stale := func(r rawRow) bool { return old(r) || gone[k.layout.ownerOf(string(r.key))] }
	for _, r := range rows {
		if !stale(r) {
			c.active[k.layout.of(r.key)] = true
		}
	}
	for p := range k.ledger.moved {
		if p.kind != idle {
			c.names++
		}
	}
	c.oldest = c.find()
	kept := make([]rawRow, 0, len(rows))
	moves := 0
	for i, r := range rows {
		if !stale(r) || moves == k.most { // the next reading goes on
			kept = append(kept, r)
			continue
		}
		moved, err := c.move(r, old(r))
		if moved {
			i, moves = i+1, moves+1
			if !old(r) {
				k.ledger.journal.generation.left++
			}
		}
		if err != nil {
			return append(kept, rows[i:]...), err
		}
	}
	return kept, c.tidy()
}

// find returns the places of the archive that nobody adds to, those first that
// were seen least recently, and of these those that counted least.
func (c *clearing) find() []place {
	moved := c.keeper.ledger.moved
	var list []place
	for p := range moved {
		if p.kind != idle && !c.active[p] {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b place) int {
		x, y := moved[a], moved[b]
		return cmp.Or(cmp.Compare(x.seen, y.seen), cmp.Compare(x.words[0], y.words[0]), cmp.Compare(a.key, b.key))
	})
	return list
}

// move moves a row that is stale to the archive. Its row was read after all
// programs had ended that could add to it, or is read now.
func (c *clearing) move(r rawRow, final bool) (moved bool, err error) {
	k := c.keeper
	words := r.words
	if !final {
		if words, err = k.rows.row(r.key); err != nil {
			return false, err
		}
	}
	to := k.layout.of(r.key)
	if c.gone[k.layout.ownerOf(string(r.key))] {
		to = k.layout.ownerless(to)
	}
	if _, there := k.ledger.moved[to]; !there {
		if c.names >= k.limit {
			if err := c.giveOldest(); err != nil {
				return false, err
			}
		}
		if c.names >= k.limit {
			to = k.layout.idle(to)
		} else {
			c.names++
		}
	}
	return k.ledger.move(fromRows, r.key, entry{words, c.now}, to)
}

// give moves a row of the archive to another.
func (c *clearing) give(from, to place) error {
	ledger := c.keeper.ledger
	if _, there := ledger.moved[to]; there || to.kind == idle {
		c.names--
	}
	_, err := ledger.move(fromArchive, archiveKey(from), ledger.moved[from], to)
	return err
}

// giveOldest gives up the oldest place, if there is one: it has not been seen
// since it was found.
func (c *clearing) giveOldest() error {
	for len(c.oldest) > 0 {
		p := c.oldest[0]
		c.oldest = c.oldest[1:]
		if e, there := c.keeper.ledger.moved[p]; there && e.seen < c.now {
			return c.give(p, c.keeper.layout.idle(p))
		}
	}
	return nil
}

// tidy gives up names of the archive: of owners that are gone, idle for long, or
// more than there may be.
func (c *clearing) tidy() error {
	k := c.keeper
	for p := range k.ledger.moved {
		if p.kind == named && c.gone[k.layout.ownerOf(p.key)] {
			if err := c.give(p, k.layout.ownerless(p)); err != nil {
				return err
			}
		}
	}
	all := c.names
	for p := range c.active {
		if _, there := k.ledger.moved[p]; !there {
			all++
		}
	}
	for _, p := range c.find() {
		if all <= k.limit && c.now < k.ledger.moved[p].seen+stays {
			return nil
		}
		if err := c.give(p, k.layout.idle(p)); err != nil {
			return err
		}
		all--
	}
	return nil
}
