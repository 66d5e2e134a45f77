// SPDX-License-Identifier: Apache-2.0

// Package table reads the maps that programs fill: it turns each into rows of
// counters, summed over the CPUs, whose keys have become labels. It also keeps
// the rows that a table cannot do without, those for what does not fit, and
// gives up those whose owner is gone.
package table

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// Row is one row of a table.
type Row struct {
	// Labels are the values, in the order of the table's labels. Several
	// samples may share them.
	Labels []string
	// Words are the counters of the value.
	Words []uint64
}

// Reading is what one look at a table yields.
type Reading struct {
	// Rows have counted something, but for that of a table without labels,
	// which is there from the start. No two have the same labels.
	Rows []Row
	// Entries is how many rows the map has.
	Entries int
	// Names is how many rows there are besides those for what does not fit or
	// was given up.
	Names int
	// Lost is what the overflow rows have counted, by reason, if that is lost.
	Lost map[string]uint64
	// Full means that events found no room a short time ago, and Changed that
	// this was not so at the reading before, or the other way round.
	Full, Changed bool
}

// Table is a map at work, with what its Spec says of it. It is used by one
// goroutine at a time.
type Table struct {
	spec     collector.Table
	value    btf.Type
	raw      *raw
	layout   *layout
	keeper   *keeper   // nil if no row ever goes
	crowding *crowding // of a table without a keeper
	labels   []labelDecoder
}

// Open prepares to read the map of a table, of this definition, among maps by
// name. A mistake in the spec is an error. A table that has no companions needs no
// barrier.
func Open(spec collector.Table, def *ebpf.MapSpec, maps func(name string) *ebpf.Map, done *Barrier) (*Table, error) {
	t, err := open(spec, def, maps, done)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", spec.Map, err)
	}
	return t, nil
}

func open(spec collector.Table, def *ebpf.MapSpec, maps func(string) *ebpf.Map, done *Barrier) (*Table, error) {
	rows, err := newRaw(maps(spec.Map))
	if err != nil {
		return nil, err
	}
	t := &Table{spec: spec, value: def.Value, raw: rows, crowding: new(crowding)}
	if t.layout, err = newLayout(spec, def); err != nil {
		return nil, err
	}
	var owners label.Owners
	if len(spec.Companions()) > 0 {
		if t.keeper, err = newKeeper(spec, t.layout, rows, maps, done); err != nil {
			return nil, err
		}
		owners = t.keeper.owners
	}
	for _, l := range spec.Labels {
		d, err := newLabelDecoder(l, def.Key, spec.Owners, owners)
		if err != nil {
			return nil, fmt.Errorf("label %s: %w", l.Name, err)
		}
		t.labels = append(t.labels, d)
	}
	return t, nil
}

// Limit returns how many rows of names the table may have; 0 if that is no matter
// of the collector.
func (t *Table) Limit() int {
	if t.spec.Bound == nil {
		return 0
	}
	return t.keeper.limit
}

// Find resolves a dotted path of members in the value; "" is the whole value.
func (t *Table) Find(field string) (Member, error) { return Find(t.value, field) }

// Labels returns the names of the labels of a row.
func (t *Table) Labels() []string {
	names := make([]string, len(t.spec.Labels))
	for i, l := range t.spec.Labels {
		names[i] = l.Name
	}
	return names
}

// Permitted reads one row at most, and returns the error with which the kernel
// refuses to.
func (t *Table) Permitted() error { return t.raw.touch() }

// Read reads every row. With an error come the rows that could be read: none,
// or all where stale ones could not be given up.
func (t *Table) Read() (Reading, error) {
	rows, err := t.raw.rows()
	if err != nil {
		return Reading{}, err
	}
	c := t.layout.split(rows)
	crowding := t.crowding
	if t.keeper != nil {
		if c, err = t.keeper.load(c); err != nil {
			return Reading{}, err
		}
		crowding = &t.keeper.ledger.journal.crowding
	}
	var out Reading
	refused, _ := t.layout.refused(c.overflow)
	out.Full, out.Changed = crowding.read(refused, sinceBoot())
	if t.keeper != nil {
		c, err = t.keeper.settle(c)
	}
	out.Entries = len(c.names) + len(c.overflow)
	if t.spec.Overflow != nil && t.spec.Overflow.Loss != "" {
		out.Lost = t.layout.lost(c.overflow, t.spec.Overflow.Loss)
	}
	placed := t.place(c)
	for _, p := range placed {
		if p.kind == named || p.kind == ownerless {
			out.Names++
		}
	}
	out.Rows = t.decode(placed)
	return out, err
}

// placed are the counts of a place.
type placed struct {
	place
	words []uint64
}

// place puts together what rows and the archive have of a place.
func (t *Table) place(c contents) []placed {
	list := make([]placed, 0, len(c.names)+len(c.overflow))
	at := make(map[place]int, cap(list))
	add := func(p place, words []uint64) {
		i, twice := at[p]
		if !twice {
			at[p] = len(list)
			list = append(list, placed{p, slices.Clone(words)})
			return
		}
		for word, n := range words {
			list[i].words[word] += n
		}
	}
	for _, r := range c.overflow {
		p := t.layout.of(r.key)
		p.kind = other
		add(p, r.words)
	}
	for _, r := range c.names {
		add(t.layout.of(r.key), r.words)
	}
	if t.keeper != nil {
		for p, e := range t.keeper.ledger.moved {
			add(p, e.words)
		}
	}
	return list
}

// decode labels the rows. Different keys may have the same labels, such as a
// device's old and new number after it was replugged: they become one row.
func (t *Table) decode(rows []placed) []Row {
	decoded := make([]Row, 0, len(rows))
	at := make(map[string]int, len(rows)) // in decoded, by labels
	labels := make([]string, 0, len(rows)*len(t.labels))
	for _, r := range rows {
		// A row that never counted says nothing, unless it is a table's only one.
		if len(t.labels) > 0 && isZero(r.words) {
			continue
		}
		first := len(labels)
		for i := range t.labels {
			labels = append(labels, t.labels[i].value(r.place))
		}
		row := Row{Labels: labels[first:len(labels):len(labels)], Words: r.words}
		key := strings.Join(row.Labels, "\xff") // no label's value has this byte
		if i, twice := at[key]; twice {
			for word, n := range row.Words {
				decoded[i].Words[word] += n
			}
			continue
		}
		at[key] = len(decoded)
		decoded = append(decoded, row)
	}
	return decoded
}

func isZero(words []uint64) bool {
	for _, w := range words {
		if w != 0 {
			return false
		}
	}
	return true
}
