// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// series is what a test of rules feeds to Prometheus under one name: a histogram
// of what was observed each minute, or else a number.
type series struct {
	name             string
	observed         []observed
	first, perMinute float64
}

// observed is a number of observations of one duration.
type observed struct {
	count uint64
	each  time.Duration
}

// given returns the series that a collector describes. Of a histogram, 99 of 100
// observations take at most a power of two of the unit, and the last one twice as long: so
// the 99th percentile is a bound of buckets in both forms.
func given(all []collector.Series, unit metric.Unit) (out []series) {
	for _, s := range all {
		if s.Latency > 0 {
			bound := time.Duration(math.Exp2(math.Ceil(math.Log2(float64(s.Latency)/float64(unit)))) * float64(unit))
			out = append(out, series{name: s.Name, observed: []observed{{99, bound}, {1, 2 * bound}}})
			continue
		}
		first := s.Value
		if s.PerSecond > 0 {
			first += 1e6 // a counter that starts at zero grows less, to Prometheus
		}
		out = append(out, series{name: s.Name, first: first, perMinute: s.PerSecond * 60})
	}
	return out
}

// form is how a histogram of latencies comes to Prometheus.
type form struct {
	name     string
	write    func(name string, h *dto.Histogram, minutes int) []inputSeries
	quantile func(q float64, h *dto.Histogram) float64
}

// forms returns both forms of histograms.
func forms() []form {
	return []form{
		{" with a classic histogram", classic, classicQuantile},
		{" with a native histogram", native, nativeQuantile},
	}
}

// histogram returns what the exporter serves of one minute's observations.
func (s series) histogram(buckets *metric.Buckets) (*dto.Histogram, error) {
	h := &metric.Hist{Buckets: buckets, Slots: make([]uint64, metric.HistSlots)}
	for _, o := range s.observed {
		h.Slots[buckets.SlotOf(o.each)] += o.count
		h.Sum += o.count * uint64(o.each)
	}
	served, err := metric.Families{{Name: "h", Type: metric.Histogram, Samples: []metric.Sample{{Hist: h}}}}.Gather()
	if err != nil {
		return nil, fmt.Errorf("series %s: %w", s.name, err)
	}
	return served[0].Metric[0].Histogram, nil
}

// classic returns the series of the buckets that differ from a neighbour, of the count and of the sum.
func classic(name string, h *dto.Histogram, minutes int) []inputSeries {
	var out []inputSeries
	add := func(series string, each float64) {
		out = append(out, inputSeries{Series: series, Values: fmt.Sprintf("0+%sx%d", decimal(each), minutes)})
	}
	before := uint64(0)
	for i, b := range h.Bucket {
		after := h.GetSampleCount()
		if i+1 < len(h.Bucket) {
			after = h.Bucket[i+1].GetCumulativeCount()
		}
		if n := b.GetCumulativeCount(); n != before || n != after {
			add(labelled(suffixed(name, "_bucket"), `le="`+decimal(b.GetUpperBound())+`"`), float64(n))
		}
		before = b.GetCumulativeCount()
	}
	add(labelled(suffixed(name, "_bucket"), `le="+Inf"`), float64(h.GetSampleCount()))
	add(suffixed(name, "_count"), float64(h.GetSampleCount()))
	add(suffixed(name, "_sum"), h.GetSampleSum())
	return out
}

// native returns the one series of a native histogram.
func native(name string, h *dto.Histogram, minutes int) []inputSeries {
	first, counts := dense(h)
	each := fmt.Sprintf("schema:%d offset:%d buckets:%v count:%d sum:%s", h.GetSchema(), first, counts, h.GetSampleCount(), decimal(h.GetSampleSum()))
	return []inputSeries{{
		Series: name,
		Values: fmt.Sprintf("{{schema:%d}}+{{%s}}x%d", h.GetSchema(), each, minutes),
	}}
}

// dense returns the counts of a native histogram's buckets from the first that is
// not empty, and its index.
func dense(h *dto.Histogram) (first int32, counts []int64) {
	n, delta := int64(0), 0
	for i, span := range h.PositiveSpan {
		if i == 0 {
			first = span.GetOffset()
		} else {
			counts = append(counts, make([]int64, span.GetOffset())...)
		}
		for range span.GetLength() {
			n += h.PositiveDelta[delta]
			delta++
			counts = append(counts, n)
		}
	}
	return first, counts
}

// classicQuantile returns what Prometheus takes for a quantile: a straight line within a bucket.
func classicQuantile(q float64, h *dto.Histogram) float64 {
	rank, lower, below := q*float64(h.GetSampleCount()), 0.0, 0.0
	for _, b := range h.Bucket {
		if n := float64(b.GetCumulativeCount()); n >= rank {
			return lower + (b.GetUpperBound()-lower)*(rank-below)/(n-below)
		}
		lower, below = b.GetUpperBound(), float64(b.GetCumulativeCount())
	}
	return lower
}

// nativeQuantile returns what Prometheus takes for a quantile: an exponential line within a bucket.
func nativeQuantile(q float64, h *dto.Histogram) float64 {
	first, counts := dense(h)
	rank := q * float64(h.GetSampleCount())
	for i, n := range counts {
		if float64(n) >= rank {
			return math.Exp2((float64(int(first)+i-1) + rank/float64(n)) / 8)
		}
		rank -= float64(n)
	}
	return math.NaN()
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// labelled adds a label to a series.
func labelled(series, label string) string {
	if labels, found := strings.CutSuffix(series, "}"); found {
		return labels + "," + label + "}"
	}
	return series + "{" + label + "}"
}
