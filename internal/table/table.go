// SPDX-License-Identifier: Apache-2.0

// Package table reads the maps that programs fill: it turns each into rows of
// counters, summed over the CPUs, whose keys have become labels. It also keeps
// the rows that a table cannot do without, those for what does not fit, and
// gives up those whose owner is gone.
package table

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
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
	// Lost is what the overflow rows have counted, if that is lost.
	Lost uint64
}

// Table is a map at work, with what its Spec says of it. It is used by one
// goroutine at a time.
type Table struct {
	spec     collector.Table
	value    btf.Type
	raw      *raw
	owners   *owned          // nil if the rows have none
	overflow map[string]bool // by key
	labels   []labelDecoder
}

// Open prepares to read a map, of this definition. A mistake in the spec is an
// error.
func Open(spec collector.Table, def *ebpf.MapSpec, m *ebpf.Map) (*Table, error) {
	t, err := open(spec, def, m)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", spec.Map, err)
	}
	return t, nil
}

func open(spec collector.Table, def *ebpf.MapSpec, m *ebpf.Map) (*Table, error) {
	rows, err := newRaw(m)
	if err != nil {
		return nil, err
	}
	t := &Table{spec: spec, value: def.Value, raw: rows}
	if spec.Owners != nil {
		if t.owners, err = newOwned(spec, def.Key, rows); err != nil {
			return nil, fmt.Errorf("owners: %w", err)
		}
	}
	if t.overflow, err = overflowRows(spec, def); err != nil {
		t.Close()
		return nil, err
	}
	for _, l := range spec.Labels {
		d, err := newLabelDecoder(l, def.Key, spec.Owners, t.owners)
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("label %s: %w", l.Name, err)
		}
		t.labels = append(t.labels, d)
	}
	return t, nil
}

// Close lets go of what the table holds besides its map.
func (t *Table) Close() {
	if t.owners != nil {
		t.owners.done.close()
	}
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

// Loss returns the reason under which [Reading.Lost] is lost; "" if it is not.
func (t *Table) Loss() string {
	if t.spec.Overflow == nil {
		return ""
	}
	return t.spec.Overflow.Loss
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
	if t.owners != nil {
		rows, err = t.owners.settle(rows, t.overflow)
	}
	out := Reading{Entries: len(rows)}
	if t.Loss() != "" {
		out.Lost = t.lost(rows)
	}
	out.Rows = t.decode(rows)
	return out, err
}

// lost sums up the overflow rows. What those of no owner have, fitted once.
func (t *Table) lost(rows []rawRow) (sum uint64) {
	for _, r := range rows {
		if t.overflow[string(r.key)] && (t.owners == nil || !t.owners.owner.isOwnerless(r.key)) {
			sum += r.words[0]
		}
	}
	return sum
}

// decode labels the rows. Different keys may have the same labels, such as a
// device's old and new number after it was replugged: they become one row.
func (t *Table) decode(rows []rawRow) []Row {
	decoded := make([]Row, 0, len(rows))
	at := make(map[string]int, len(rows)) // in decoded, by labels
	labels := make([]string, 0, len(rows)*len(t.labels))
	for _, r := range rows {
		// A row that never counted says nothing, unless it is a table's only one.
		if len(t.labels) > 0 && isZero(r.words) {
			continue
		}
		overflow := t.overflow[string(r.key)]
		first := len(labels)
		for i := range t.labels {
			labels = append(labels, t.labels[i].value(r.key, overflow))
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
