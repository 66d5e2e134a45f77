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
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Collect hands families to client_golang, as the Collect of a
// [prometheus.Collector] does. A family that cannot be right is handed over as
// an error that names it, and none of its samples; the others are unaffected.
// The histograms are read until the registry has gathered, not only here.
func Collect(families []Family, ch chan<- prometheus.Metric) {
	for i := range families {
		metrics, err := families[i].metrics()
		if err != nil {
			err = fmt.Errorf("family %s: %w", families[i].Name, err)
			ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
			continue
		}
		for _, m := range metrics {
			ch <- m
		}
	}
}

func (f *Family) metrics() ([]prometheus.Metric, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	desc := prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
	var created *timestamppb.Timestamp
	if !f.Created.IsZero() {
		created = timestamppb.New(f.Created)
	}
	metrics := make([]prometheus.Metric, len(f.Samples))
	for i, s := range f.Samples {
		var err error
		switch {
		case f.Type == Histogram && s.Linear != nil:
			metrics[i] = &linear{desc: desc, labels: s.Labels, hist: s.Linear, created: created}
		case f.Type == Histogram:
			metrics[i] = &histogram{desc: desc, labels: s.Labels, hist: s.Hist, created: created}
		case f.Type == Gauge:
			metrics[i], err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.Value, s.Labels...)
		case created == nil:
			metrics[i], err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.Value, s.Labels...)
		default:
			metrics[i], err = prometheus.NewConstMetricWithCreatedTimestamp(
				desc, prometheus.CounterValue, s.Value, f.Created, s.Labels...)
		}
		if err != nil {
			return nil, err
		}
	}
	return metrics, nil
}

// check finds what client_golang would refuse only sample by sample, which
// would leave a family of some of its samples.
func (f *Family) check() error {
	if f.Type < Counter || f.Type > Histogram {
		return fmt.Errorf("no type has the number %d", f.Type)
	}
	if f.Type == Histogram && slices.Contains(f.Labels, "le") {
		return errors.New("a histogram has no label le of its own")
	}
	seen := make(map[string]struct{}, len(f.Samples))
	for _, s := range f.Samples {
		if len(s.Labels) != len(f.Labels) {
			return fmt.Errorf("%d label values %q for the labels %q", len(s.Labels), s.Labels, f.Labels)
		}
		for i, value := range s.Labels {
			if !utf8.ValidString(value) {
				return fmt.Errorf("label %s=%q is not UTF-8", f.Labels[i], value)
			}
		}
		key := strings.Join(s.Labels, "\xff") // which is not in UTF-8
		if _, ok := seen[key]; ok {
			return fmt.Errorf("two samples have the label values %q", s.Labels)
		}
		seen[key] = struct{}{}
		if f.Type == Histogram && s.Linear == nil && (s.Hist == nil || s.Hist.Layout == nil || len(s.Hist.Slots) != HistSlots) {
			return fmt.Errorf("the sample %q is no histogram of %d slots", s.Labels, HistSlots)
		}
	}
	return nil
}

// histogram writes a Hist twice, as the classic and the native histogram of
// the same counts. Which of them a scraper sees is its choice of format.
type histogram struct {
	desc    *prometheus.Desc
	labels  []string
	hist    *Hist
	created *timestamppb.Timestamp
}

func (h *histogram) Desc() *prometheus.Desc { return h.desc }

func (h *histogram) Write(out *dto.Metric) error {
	spans, deltas := h.hist.native()
	out.Label = prometheus.MakeLabelPairs(h.desc, h.labels)
	out.Histogram = &dto.Histogram{
		SampleCount:      new(h.hist.Count()),
		SampleSum:        new(h.hist.sum()),
		CreatedTimestamp: h.created,
		Bucket:           h.hist.buckets(),
		Schema:           new(int32(nativeSchema)),
		ZeroThreshold:    new(zeroThreshold),
		ZeroCount:        new(h.hist.Slots[0]),
		PositiveSpan:     spans,
		PositiveDelta:    deltas,
	}
	return nil
}

const (
	nativeSchema = 3
	// zeroThreshold only has to be less than 1 ns in any unit for the zero
	// bucket to hold zeros alone. Prometheus merges buckets when it adds
	// histograms of different thresholds, so we take the usual one.
	zeroThreshold float64 = prometheus.DefNativeHistogramZeroThreshold
	// infIndex is the bucket in which a native histogram counts +Inf: the one
	// after the bucket of the largest float64, which ends at 2^1024.
	infIndex = 1024<<nativeSchema + 1
)

// buckets returns the cumulative buckets of the classic histogram. They stop
// at the last finite bound: +Inf is the count.
func (h *Hist) buckets() []*dto.Bucket {
	var (
		buckets    [classicBuckets]dto.Bucket
		cumulative [classicBuckets]uint64
		pointers   = make([]*dto.Bucket, len(buckets))
		slot       int
		count      uint64
	)
	for i := range buckets {
		c := &h.Layout.classic[i]
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

// native returns the buckets of the native histogram: runs of neighbours, and
// each count as the difference to the one before.
func (h *Hist) native() (spans []*dto.BucketSpan, deltas []int64) {
	var previous uint64
	next := int32(0) // the bucket after the last one written
	add := func(index int32, count uint64) {
		gap := index - next
		// A gap of one or two takes less room as empty buckets than as the
		// end of a span.
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
			add(h.Layout.index[slot], count)
		}
	}
	if count := h.Slots[histOverflow]; count > 0 {
		add(infIndex, count)
	}
	return spans, deltas
}
