// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
	"github.com/kernscope/kernscope/internal/metric"
	"github.com/kernscope/kernscope/internal/table"
)

// column turns one member of a table's rows into the samples of one metric.
type column struct {
	family  metric.Family // without samples
	table   string
	kind    collector.Kind
	first   int             // word of the value
	words   int             // how many: more than one for arrays and histograms
	per     float64         // what a number is divided by
	buckets *metric.Buckets // of a histogram of durations
	// highest is the last finite bucket of a linear histogram.
	highest int
	extra   []extraLabel
}

// extraLabel is a label that a metric has besides those of its table's rows:
// fixed, or that of the position in an array.
type extraLabel struct {
	fixed string
	index label.Decoder
}

// newFamily returns a metric's family without labels and samples.
func newFamily(m collector.Metric, buckets *metric.Buckets) (metric.Family, error) {
	f := metric.Family{Name: m.Name, Help: m.Help}
	switch m.Kind {
	case collector.Counter:
		f.Type = metric.Counter
	case collector.Gauge:
		f.Type = metric.Gauge
	case collector.Histogram, collector.LinearHistogram:
		f.Type = metric.Histogram
	default:
		return f, fmt.Errorf("unknown kind %d", m.Kind)
	}
	f.Name = m.FullName(buckets.Unit().String())
	return f, nil
}

// divisor returns what a counter or gauge is divided by as it is served.
func divisor(m collector.Metric, buckets *metric.Buckets) float64 {
	if m.Duration {
		return float64(buckets.Unit())
	}
	return 1
}

// newColumn resolves a metric's member in the type information of its table.
func newColumn(m collector.Metric, t *table.Table, buckets *metric.Buckets) (*column, error) {
	value, err := t.Find(m.Field)
	if err != nil {
		return nil, fmt.Errorf("value of map %s: %w", m.Map, err)
	}
	c := &column{table: m.Map, kind: m.Kind, first: value.First(), buckets: buckets, highest: m.Highest, per: divisor(m, buckets)}
	if c.family, err = newFamily(m, buckets); err != nil {
		return nil, err
	}
	if m.Kind == collector.Histogram {
		c.words = metric.HistSlots + 1
		err = value.Histogram()
	} else {
		c.words, err = value.Words()
	}
	if err != nil {
		return nil, fmt.Errorf("value of map %s: %w", m.Map, err)
	}
	if m.Kind == collector.LinearHistogram && m.Highest >= c.words {
		return nil, fmt.Errorf("bucket %d is beyond the %d counts in map %s", m.Highest, c.words, m.Map)
	}
	c.family.Labels = t.Labels()
	indexed := false
	for _, l := range m.Labels {
		extra := extraLabel{fixed: l.Fixed}
		switch {
		case l.Fixed != "":
		case l.Field == collector.Index && l.As != nil:
			extra.index, indexed = l.As(), true
		default:
			return nil, fmt.Errorf("label %s is neither fixed nor the decoded position in an array: labels of rows belong to the table", l.Name)
		}
		c.family.Labels = append(c.family.Labels, l.Name)
		c.extra = append(c.extra, extra)
	}
	if isArray := c.words > 1 && (m.Kind == collector.Counter || m.Kind == collector.Gauge); isArray != indexed {
		return nil, fmt.Errorf("%q has %d counters: an array takes a label of its index, and nothing else does", m.Field, c.words)
	}
	return c, nil
}

// samples appends what the rows say of the metric.
func (c *column) samples(to []metric.Sample, rows []table.Row) []metric.Sample {
	to = slices.Grow(to, len(rows))
	for _, row := range rows {
		numbers := row.Words[c.first:][:c.words]
		switch {
		case c.kind == collector.Histogram:
			to = append(to, metric.Sample{Labels: c.labels(row, 0), Hist: &metric.Hist{
				Slots: numbers[:metric.HistSlots], Sum: numbers[metric.HistSlots], Buckets: c.buckets,
			}})
		case c.kind == collector.LinearHistogram:
			to = append(to, metric.Sample{Labels: c.labels(row, 0), Linear: &metric.Linear{Counts: numbers, Highest: c.highest}})
		case c.words > 1:
			for i, n := range numbers {
				if n > 0 {
					to = append(to, metric.Sample{Labels: c.labels(row, i), Value: float64(n) / c.per})
				}
			}
		default:
			to = append(to, metric.Sample{Labels: c.labels(row, 0), Value: float64(numbers[0]) / c.per})
		}
	}
	return to
}

// labels returns the labels of a sample: the row's, which several samples
// share, unless there are others.
func (c *column) labels(row table.Row, index int) []string {
	if len(c.extra) == 0 {
		return row.Labels
	}
	labels := slices.Grow(slices.Clone(row.Labels), len(c.extra))
	for _, extra := range c.extra {
		if extra.index == nil {
			labels = append(labels, extra.fixed)
			continue
		}
		labels = append(labels, extra.index.Label(binary.NativeEndian.AppendUint32(nil, uint32(index))))
	}
	return labels
}

// mayRepeat reports whether several samples may have the same labels.
func (c *column) mayRepeat() bool { return len(c.extra) > 0 && c.words > 1 }

// sumEqual adds up samples with the same labels: elements of an array, or rows
// of several tables, may have one name.
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
		if s.Linear != nil {
			for number, n := range s.Linear.Counts {
				kept[i].Linear.Counts[number] += n
			}
		}
	}
	return kept
}
