// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
	"github.com/kernscope/kernscope/internal/metric"
)

// other is the label value of what did not fit.
const other = "other"

// reader turns the rows of one map into the samples of one metric.
type reader struct {
	family metric.Family // without samples
	table  string
	word   int // where the number starts in the value
	words  int // how many: more than one for arrays and histograms
	index  bool
	hist   *metric.Layout // of a histogram of durations, else nil
	// linear makes one histogram of the array, with this highest bucket.
	linear  bool
	highest int
	labels  []labelReader
}

type labelReader struct {
	fixed  string
	index  bool
	member member
	decode label.Decoder
	enum   map[uint64]string
	// owners name the member if it is the rows' owner, in the label of name.
	owners label.Owners
	name   string
}

// newFamily is a metric's family, without samples.
func newFamily(m collector.Metric, layout *metric.Layout) (metric.Family, error) {
	f := metric.Family{Name: m.Name, Help: m.Help, Type: metric.Counter}
	switch m.Kind {
	case collector.Counter:
	case collector.Histogram:
		f.Name += "_" + layout.Unit().String()
		f.Type = metric.Histogram
	case collector.LinearHistogram:
		f.Type = metric.Histogram
	default:
		return f, fmt.Errorf("unknown kind %d", m.Kind)
	}
	for _, l := range m.Labels {
		f.Labels = append(f.Labels, l.Name)
	}
	return f, nil
}

// newReader resolves a metric's members in the type information of its map.
// Rows may have owners.
func newReader(m collector.Metric, spec *ebpf.MapSpec, rows *owned, layout *metric.Layout) (*reader, error) {
	value, err := find(spec.Value, m.Field)
	if err != nil {
		return nil, fmt.Errorf("value of map %s: %w", m.Map, err)
	}
	r := &reader{table: m.Map, word: value.offset / 8, words: value.size / 8}
	if r.family, err = newFamily(m, layout); err != nil {
		return nil, err
	}
	if m.Kind == collector.Histogram {
		r.hist = layout
		err = value.histogram()
	} else {
		_, err = value.words()
	}
	if err != nil {
		return nil, fmt.Errorf("value of map %s: %w", m.Map, err)
	}
	if m.Kind == collector.LinearHistogram {
		r.linear, r.highest = true, m.Highest
		if m.Highest >= r.words {
			return nil, fmt.Errorf("bucket %d is beyond the %d counts in map %s", m.Highest, r.words, m.Map)
		}
	}
	for _, l := range m.Labels {
		lr, err := newLabelReader(l, spec.Key, rows)
		if err != nil {
			return nil, fmt.Errorf("label %s: key of map %s: %w", l.Name, m.Map, err)
		}
		r.labels = append(r.labels, lr)
		r.index = r.index || lr.index
	}
	if m.Kind == collector.Counter && r.words > 1 && !r.index {
		return nil, fmt.Errorf("%s is an array, and no label is its index", m.Field)
	}
	return r, nil
}

func newLabelReader(l collector.Label, key btf.Type, rows *owned) (labelReader, error) {
	r := labelReader{fixed: l.Fixed, index: l.Field == collector.Index}
	if r.fixed != "" {
		return r, nil
	}
	if !r.index {
		m, err := find(key, l.Field)
		if err != nil {
			return r, err
		}
		r.member = m
	}
	if l.As != nil {
		r.decode = l.As()
		return r, nil
	}
	if rows != nil && l.Field == rows.field {
		r.owners, r.name = rows.owners, l.Name
		return r, nil
	}
	enum, ok := r.member.typ.(*btf.Enum)
	if !ok || r.member.size != 4 {
		return r, fmt.Errorf("%q has no decoder and is no 32-bit enum", l.Field)
	}
	r.enum = enumNames(enum)
	return r, nil
}

// value is the label's value for a key; reserved says that the key is one of
// the rows for what did not fit.
func (r *labelReader) value(key []byte, reserved bool) string {
	switch {
	case r.fixed != "":
		return r.fixed
	case r.enum != nil:
		number := uint64(binary.NativeEndian.Uint32(key[r.member.offset:]))
		if name, ok := r.enum[number]; ok {
			return name
		}
		return fmt.Sprint(number)
	case r.owners != nil && r.member.isOwnerless(key):
		return label.Gone
	case reserved:
		return other
	case r.owners != nil:
		return r.owners.Label(r.name, string(key[r.member.offset:][:r.member.size]))
	}
	return r.decode.Label(key[r.member.offset:][:r.member.size])
}

// samples appends what the rows say of the metric.
func (r *reader) samples(to []metric.Sample, rows []row, reserved map[string]bool) []metric.Sample {
	to = slices.Grow(to, len(rows))
	labels := make([]string, 0, len(rows)*len(r.labels)) // of all, if a row is one sample
	for _, row := range rows {
		isReserved := reserved[string(row.key)]
		if isReserved && empty(row.words) {
			continue
		}
		numbers := row.words[r.word:][:r.words]
		add := func(sample metric.Sample, index int) {
			labels, sample.Labels = r.values(labels, row.key, isReserved, index)
			to = append(to, sample)
		}
		switch {
		case r.hist != nil:
			add(metric.Sample{Hist: &metric.Hist{Slots: numbers[:metric.HistSlots], Sum: numbers[metric.HistSlots], Layout: r.hist}}, 0)
		case r.linear:
			add(metric.Sample{Linear: &metric.Linear{Counts: numbers, Highest: r.highest}}, 0)
		case r.index:
			for i, n := range numbers {
				if n > 0 {
					add(metric.Sample{Value: float64(n)}, i)
				}
			}
		default:
			add(metric.Sample{Value: float64(numbers[0])}, 0)
		}
	}
	return to
}

// values appends the labels of a sample to those of others, and returns both.
func (r *reader) values(to []string, key []byte, reserved bool, index int) (all, own []string) {
	for i := range r.labels {
		l := &r.labels[i]
		if l.index {
			to = append(to, l.decode.Label(binary.NativeEndian.AppendUint32(nil, uint32(index))))
			continue
		}
		to = append(to, l.value(key, reserved))
	}
	first := len(to) - len(r.labels)
	return to, to[first:len(to):len(to)]
}

func empty(words []uint64) bool {
	for _, w := range words {
		if w != 0 {
			return false
		}
	}
	return true
}

// sumEqual adds up samples with the same labels: different keys may have one
// name, such as a device's old and new number after it was replugged.
func sumEqual(samples []metric.Sample) []metric.Sample {
	if len(samples) < 2 {
		return samples
	}
	at := make(map[string]int, len(samples))
	kept := samples[:0]
	for _, s := range samples {
		key := strings.Join(s.Labels, "\xff") // no label value has this byte
		i, twice := at[key]
		if !twice {
			at[key] = len(kept)
			kept = append(kept, s)
			continue
		}
		kept[i].Value += s.Value
		if s.Hist != nil {
			kept[i].Hist.Sum += s.Hist.Sum
			for slot, n := range s.Hist.Slots {
				kept[i].Hist.Slots[slot] += n
			}
		}
		if s.Linear != nil {
			for number, n := range s.Linear.Counts {
				kept[i].Linear.Counts[number] += n
			}
		}
	}
	return kept
}
