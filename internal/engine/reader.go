// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"fmt"
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
	hist   *metric.Layout // nil for counters
	labels []labelReader
}

type labelReader struct {
	fixed  string
	index  bool
	member member
	decode label.Decoder
	enum   map[uint64]string
}

// newReader resolves a metric's members in the type information of its map.
func newReader(m collector.Metric, spec *ebpf.MapSpec, layout *metric.Layout) (*reader, error) {
	value, err := find(spec.Value, m.Field)
	if err != nil {
		return nil, fmt.Errorf("value of map %s: %w", m.Map, err)
	}
	r := &reader{table: m.Map, word: value.offset / 8, words: value.size / 8}
	r.family = metric.Family{Name: m.Name, Help: m.Help, Type: metric.Counter}
	switch m.Kind {
	case collector.Histogram:
		r.hist = layout
		r.family.Type = metric.Histogram
		r.family.Name += "_" + layout.Unit().String()
		if err := value.histogram(); err != nil {
			return nil, fmt.Errorf("value of map %s: %w", m.Map, err)
		}
	case collector.Counter:
		if _, err := value.words(); err != nil {
			return nil, fmt.Errorf("value of map %s: %w", m.Map, err)
		}
	default:
		return nil, fmt.Errorf("unknown kind %d", m.Kind)
	}
	for _, l := range m.Labels {
		lr, err := newLabelReader(l, spec.Key)
		if err != nil {
			return nil, fmt.Errorf("label %s: key of map %s: %w", l.Name, m.Map, err)
		}
		r.family.Labels = append(r.family.Labels, l.Name)
		r.labels = append(r.labels, lr)
		r.index = r.index || lr.index
	}
	if r.hist == nil && r.words > 1 && !r.index {
		return nil, fmt.Errorf("%s is an array, and no label is its index", m.Field)
	}
	return r, nil
}

func newLabelReader(l collector.Label, key btf.Type) (labelReader, error) {
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
	case reserved:
		return other
	}
	return r.decode.Label(key[r.member.offset:][:r.member.size])
}

// samples appends what the rows say of the metric.
func (r *reader) samples(to []metric.Sample, rows []row, reserved map[string]bool) []metric.Sample {
	for _, row := range rows {
		isReserved := reserved[string(row.key)]
		if isReserved && empty(row.words) {
			continue
		}
		numbers := row.words[r.word:][:r.words]
		switch {
		case r.hist != nil:
			hist := &metric.Hist{Slots: numbers[:metric.HistSlots], Sum: numbers[metric.HistSlots], Layout: r.hist}
			to = append(to, metric.Sample{Labels: r.values(row.key, isReserved, 0), Hist: hist})
		case r.index:
			for i, n := range numbers {
				if n > 0 {
					to = append(to, metric.Sample{Labels: r.values(row.key, isReserved, i), Value: float64(n)})
				}
			}
		default:
			to = append(to, metric.Sample{Labels: r.values(row.key, isReserved, 0), Value: float64(numbers[0])})
		}
	}
	return to
}

func (r *reader) values(key []byte, reserved bool, index int) []string {
	values := make([]string, len(r.labels))
	for i := range r.labels {
		l := &r.labels[i]
		if l.index {
			values[i] = l.decode.Label(binary.NativeEndian.AppendUint32(nil, uint32(index)))
			continue
		}
		values[i] = l.value(key, reserved)
	}
	return values
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
	}
	return kept
}
