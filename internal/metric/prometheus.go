// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Families are families that client_golang can gather. Gathering copies as little as possible, so
// what it returns refers to the families: they must not change until it has been written.
type Families []Family

// Gather implements [prometheus.Gatherer]. It leaves out a family that cannot be right, with all
// its samples, and returns an error that names the family. It gathers the others.
func (fs Families) Gather() ([]*dto.MetricFamily, error) { return fs.GatherWith(nil) }

// GatherWith gathers the families and those of another gatherer, except those whose names are
// taken. [prometheus.Gatherers] would do the same, but would look at every sample. The others are
// without the times at which they began.
func (fs Families) GatherWith(more prometheus.Gatherer) ([]*dto.MetricFamily, error) {
	var gathered []*dto.MetricFamily
	var wrong prometheus.MultiError
	taken := make(map[string]bool)
	add := func(f *dto.MetricFamily) {
		names := []string{f.GetName()}
		if f.GetType() == dto.MetricType_HISTOGRAM || f.GetType() == dto.MetricType_SUMMARY {
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				names = append(names, f.GetName()+suffix)
			}
		}
		for _, name := range names {
			if taken[name] {
				wrong.Append(fmt.Errorf("family %s: another family has the name %s", f.GetName(), name))
				return
			}
		}
		for _, name := range names {
			taken[name] = true
		}
		gathered = append(gathered, f)
	}
	for i := range fs {
		f, err := fs[i].gather()
		if err != nil {
			wrong.Append(fmt.Errorf("family %s: %w", fs[i].Name, err))
			continue
		}
		if len(f.Metric) > 0 {
			add(f)
		}
	}
	if more != nil {
		others, err := more.Gather()
		wrong.Append(err)
		for _, f := range others {
			withoutCreated(f)
			add(f)
		}
	}
	slices.SortFunc(gathered, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return gathered, wrong.MaybeUnwrap()
}

// withoutCreated removes the times at which client_golang's own counters began. It keeps what the wall
// clock showed then, which is wrong as soon as somebody sets the clock.
func withoutCreated(f *dto.MetricFamily) {
	for _, m := range f.Metric {
		switch {
		case m.Counter != nil:
			m.Counter.CreatedTimestamp = nil
		case m.Histogram != nil:
			m.Histogram.CreatedTimestamp = nil
		case m.Summary != nil:
			m.Summary.CreatedTimestamp = nil
		}
	}
}

// types are client_golang's names of the types.
var types = map[Type]dto.MetricType{
	Counter:   dto.MetricType_COUNTER,
	Gauge:     dto.MetricType_GAUGE,
	Histogram: dto.MetricType_HISTOGRAM,
}

// gather returns the family as client_golang writes it, with the samples in the order of their
// labels. It makes few allocations, because a scrape has thousands of samples.
func (f *Family) gather() (*dto.MetricFamily, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	var created *timestamppb.Timestamp
	if !f.Created.IsZero() {
		created = timestamppb.New(f.Created)
	}
	order := f.labelOrder()
	var (
		samples  = make([]dto.Metric, len(f.Samples))
		metrics  = make([]*dto.Metric, len(f.Samples))
		pairs    = make([]dto.LabelPair, len(f.Samples)*len(order))
		pointers = make([]*dto.LabelPair, len(pairs))
		counters []dto.Counter
		gauges   []dto.Gauge
	)
	switch f.Type {
	case Counter:
		counters = make([]dto.Counter, len(f.Samples))
	case Gauge:
		gauges = make([]dto.Gauge, len(f.Samples))
	}
	for i := range f.Samples {
		s, m := &f.Samples[i], &samples[i]
		for j, label := range order {
			at := i*len(order) + j
			pairs[at].Name, pairs[at].Value = &f.Labels[label], &s.Labels[label]
			pointers[at] = &pairs[at]
		}
		m.Label = pointers[i*len(order):][:len(order):len(order)]
		switch f.Type {
		case Counter:
			m.Counter = &counters[i]
			m.Counter.Value, m.Counter.CreatedTimestamp = &s.Value, created
		case Gauge:
			m.Gauge = &gauges[i]
			m.Gauge.Value = &s.Value
		case Histogram:
			if s.Linear != nil {
				m.Histogram = s.Linear.gather()
			} else {
				m.Histogram = s.Hist.gather()
			}
			m.Histogram.CreatedTimestamp = created
		}
		metrics[i] = m
	}
	slices.SortFunc(metrics, compareLabels)
	for i := 1; i < len(metrics); i++ {
		if compareLabels(metrics[i-1], metrics[i]) == 0 {
			return nil, fmt.Errorf("two samples have the label values %q", labelValues(metrics[i]))
		}
	}
	return &dto.MetricFamily{Name: &f.Name, Help: &f.Help, Type: types[f.Type].Enum(), Metric: metrics}, nil
}

// labelValues returns the label values of a sample.
func labelValues(m *dto.Metric) []string {
	values := make([]string, len(m.Label))
	for i, label := range m.Label {
		values[i] = label.GetValue()
	}
	return values
}

// compareLabels compares two samples of a family by their label values.
func compareLabels(a, b *dto.Metric) int {
	for i := range a.Label {
		if order := strings.Compare(*a.Label[i].Value, *b.Label[i].Value); order != 0 {
			return order
		}
	}
	return 0
}

// labelOrder returns the indices of the labels, ascending by name.
func (f *Family) labelOrder() []int {
	order := make([]int, len(f.Labels))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(f.Labels[a], f.Labels[b]) })
	return order
}

// check returns an error if the family cannot be right. client_golang would refuse single samples
// and serve the family without them.
func (f *Family) check() error {
	if _, ok := types[f.Type]; !ok {
		return fmt.Errorf("there is no type %d", f.Type)
	}
	if !model.LegacyValidation.IsValidMetricName(f.Name) {
		return fmt.Errorf("%q is not a metric name", f.Name)
	}
	for i, label := range f.Labels {
		if !model.LegacyValidation.IsValidLabelName(label) || strings.HasPrefix(label, model.ReservedLabelPrefix) {
			return fmt.Errorf("%q is not a label name", label)
		}
		if slices.Contains(f.Labels[:i], label) {
			return fmt.Errorf("two labels have the name %q", label)
		}
	}
	if f.Type == Histogram && slices.Contains(f.Labels, model.BucketLabel) {
		return errors.New("a histogram must not have a label named le")
	}
	for _, s := range f.Samples {
		if len(s.Labels) != len(f.Labels) {
			return fmt.Errorf("%d label values %q for the labels %q", len(s.Labels), s.Labels, f.Labels)
		}
		for i, value := range s.Labels {
			if !utf8.ValidString(value) {
				return fmt.Errorf("label %s=%q is not UTF-8", f.Labels[i], value)
			}
		}
		if f.Type == Histogram && s.Linear == nil && (s.Hist == nil || s.Hist.Buckets == nil || len(s.Hist.Slots) != HistSlots) {
			return fmt.Errorf("the sample %q is not a histogram of %d slots", s.Labels, HistSlots)
		}
		if s.Linear != nil && (s.Linear.Highest < 0 || s.Linear.Highest > maxHighest) {
			return fmt.Errorf("the sample %q is a histogram whose last finite bucket is %d", s.Labels, s.Linear.Highest)
		}
	}
	return nil
}

// gather returns the classic and the native histogram of the same counts, in one value. The format
// that a scraper asks for decides which of them it gets.
func (h *Hist) gather() *dto.Histogram {
	spans, deltas := h.native()
	return &dto.Histogram{
		SampleCount:   new(h.Count()),
		SampleSum:     new(h.sum()),
		Bucket:        h.buckets(),
		Schema:        new(int32(nativeSchema)),
		ZeroThreshold: new(zeroThreshold),
		ZeroCount:     &h.Slots[0],
		PositiveSpan:  spans,
		PositiveDelta: deltas,
	}
}

const (
	nativeSchema = 3
	// zeroThreshold is the usual threshold. If it is less than 1 ns in every unit, the zero bucket
	// holds only zeros. Prometheus merges buckets when it adds histograms with different
	// thresholds, so kernscope uses the one that others use.
	zeroThreshold float64 = prometheus.DefNativeHistogramZeroThreshold
	// infIndex is the index of the bucket in which a native histogram counts +Inf. It follows the
	// bucket of the largest float64, which ends at 2^1024.
	infIndex = 1024<<nativeSchema + 1
)

// buckets returns the cumulative buckets of the classic histogram up to the last finite bound. The
// bucket +Inf follows from the count.
func (h *Hist) buckets() []*dto.Bucket {
	var (
		buckets    = make([]dto.Bucket, len(h.Buckets.classic))
		cumulative = make([]uint64, len(buckets))
		pointers   = make([]*dto.Bucket, len(buckets))
		slot       int
		count      uint64
	)
	for i := range buckets {
		c := &h.Buckets.classic[i]
		for ; slot < c.end; slot++ {
			count += h.Slots[slot]
		}
		cumulative[i] = count
		buckets[i].CumulativeCount = &cumulative[i]
		buckets[i].UpperBound = &c.le
		pointers[i] = &buckets[i]
	}
	return pointers
}

// native returns the buckets of the native histogram: the spans of neighbouring buckets, and each
// bucket's count as the difference to the bucket before.
func (h *Hist) native() (spans []*dto.BucketSpan, deltas []int64) {
	var previous uint64
	next := int32(0) // the index after that of the last bucket written
	add := func(index int32, count uint64) {
		gap := index - next
		// A gap of one or two buckets takes less room as empty buckets than as a new span.
		if len(spans) == 0 || gap > 2 {
			spans = append(spans, &dto.BucketSpan{Offset: new(gap), Length: new(uint32(0))})
			gap = 0
		}
		for ; gap > 0; gap-- {
			deltas = append(deltas, -int64(previous))
			*spans[len(spans)-1].Length++
			previous = 0
		}
		deltas = append(deltas, int64(count-previous))
		*spans[len(spans)-1].Length++
		previous, next = count, index+1
	}
	for slot := 1; slot < histOverflow; slot++ {
		if count := h.Slots[slot]; count > 0 {
			add(h.Buckets.index[slot], count)
		}
	}
	if count := h.Slots[histOverflow]; count > 0 {
		add(infIndex, count)
	}
	return spans, deltas
}
