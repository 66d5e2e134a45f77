// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"slices"
	"strings"
	"time"

	"github.com/kernscope/kernscope/internal/label"
)

// Table adds to a map's definition in C.
type Table struct {
	// Map is the name of the map.
	Map string
	// Labels of each row. A row is decoded once, for all metrics.
	Labels []Label
	// Overflow, if set, reserves rows where programs count what finds the map
	// full.
	Overflow *Overflow
	// Size, if set, returns how many rows the map needs on this machine. The
	// engine calls it before each load. Without it, the definition in C says.
	Size func() (uint32, error)
	// Owners says whose the rows are, where owners come and go.
	Owners *Owners
	// Bound bounds the rows, where anybody can add some: the key has a member of
	// enum row_generation (bpf/generation.bpf.h).
	Bound *Bound
}

// Companions returns the names of the maps that user space keeps beside the
// table's, and pins with it: the journal of what it does to the table, and the
// archive of rows that are not in the table any more.
func (t Table) Companions() []string {
	if t.Owners == nil && t.Bound == nil {
		return nil
	}
	return []string{t.Map + Journal, t.Map + Archive}
}

// What the names of companions end in.
const (
	Journal = "_journal"
	Archive = "_archive"
)

// Bound is how many rows of names a table may have. A generation of rows has as
// many at most. When a generation is over, its rows move to the archive, and
// programs add those that are still in use anew. What both have of a name is
// served as one row. Where both together have too many names, and when a name
// has been idle for an hour, its counts move exactly to the row "gone".
type Bound struct {
	// Option names the int option that says how many.
	Option string
	// Percent is how many of these the table has; 0 is all.
	Percent uint32
}

// Overflow describes the rows for what finds a map full. Their labels read
// "other". In the archive, the labels of rows that stand for several idle ones
// read "gone".
type Overflow struct {
	// Each names an enum member of the key: there is one overflow row for each
	// enumerator, with a key that is otherwise zero, and that label keeps its
	// value. "" is one row whose key is all zero.
	Each string
	// Loss, if set, is the reason under which what these rows count is served
	// as lost. Else the object's own losses may say so. A table with a [Bound] has
	// overflow rows for each reason of enum row_generation, and serves these.
	Loss string
}

// Owners are what a map's rows belong to, such as cgroups. When an owner is
// gone its rows are stale: what they counted moves to rows of the archive that
// differ from them only in the owner, which reads "gone". If there are too many,
// the members that are not [Overflow.Each] read "gone" as well. The map is a
// hash. No program may count for an owner that is gone, but for one that began
// to run while the owner was there.
type Owners struct {
	// Field is the member of the key that identifies the owner.
	Field string
	// As makes what knows which owners there are and what they are called.
	As func() label.Owners
}

// Kind is the type of a metric family.
type Kind int

// The kinds of metric.
const (
	Counter Kind = iota + 1
	// Gauge is a number that may fall.
	Gauge
	// Histogram is of durations: the value is the struct hist of
	// bpf/hist.bpf.h.
	Histogram
	// LinearHistogram is of small whole numbers: the value is an array, the
	// element i counts observations of i.
	LinearHistogram
	// Ratio is a gauge: what Part had of the growth of Whole in the last full
	// Window. If Whole did not grow, there is no sample.
	Ratio
)

// Metric is one family, read from one table or a [Source].
type Metric struct {
	// Name of the family. If it is a duration the engine adds the unit, which is
	// the user's choice, at the end or before "_total".
	Name string
	// Help is a sentence. That of a Ratio goes on with its window, which the
	// engine appends.
	Help string
	Kind Kind
	// Duration means that a counter or gauge is in nanoseconds, and is served
	// in the user's unit. A [Histogram] always is.
	Duration bool
	// Map whose rows become samples; "" if only a source serves it.
	Map string
	// Field is the member of the map's value that holds the number; "" is
	// the whole value. The map's type information says where it is.
	Field string
	// Highest is the last finite bucket of a LinearHistogram.
	Highest int
	// Part names the counter that a Ratio is of, Whole those whose sum it is
	// to: all or none of these are durations. Samples of equal labels belong together. Window is its time.
	Part   string
	Whole  []string
	Window time.Duration
	// Labels that samples have besides those of their table: an [Index], or
	// one that is Fixed. A metric of a source only has all its labels here; a
	// Ratio has those of its Part.
	Labels []Label
	// When names the option without which the family is left out, Unless one
	// with which it is.
	When   string
	Unless string
}

// LabelsOf returns all labels of a metric: those of its table and its own; a
// Ratio has those of its Part.
func (s *Spec) LabelsOf(m Metric) []Label {
	if m.Kind == Ratio {
		for _, part := range s.Metrics {
			if part.Name == m.Part {
				return s.LabelsOf(part)
			}
		}
	}
	return append(slices.Clone(s.Table(m.Map).Labels), m.Labels...)
}

// Table returns what the spec says of a map, which may be nothing but its name.
func (s *Spec) Table(name string) Table {
	for _, t := range s.Tables {
		if t.Map == name {
			return t
		}
	}
	return Table{Map: name}
}

// FullName returns the name that the family has in a unit.
func (m Metric) FullName(unit string) string {
	if !m.IsDuration() {
		return m.Name
	}
	if name, ok := strings.CutSuffix(m.Name, "_total"); ok {
		return name + "_" + unit + "_total"
	}
	return m.Name + "_" + unit
}

// IsDuration reports whether the family is served in the user's unit.
func (m Metric) IsDuration() bool { return m.Duration || m.Kind == Histogram }

// Index as a [Label.Field] is the position in a metric whose Field is an array.
const Index = "[]"

// Label turns a member of a map's key into a label.
type Label struct {
	// Name of the label.
	Name string
	// Field is a member of the key; "" is the whole key, [Index] the
	// position in an array.
	Field string
	// Fixed is the label's value where it is the same for all rows.
	Fixed string
	// As makes the decoder of the raw member; nil for an enum, whose value
	// becomes the enumerator's name in lower case without the prefix that
	// all its enumerators share, and for an owner, whom the table's Owners name.
	As func() label.Decoder
}
