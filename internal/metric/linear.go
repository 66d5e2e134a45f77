// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Linear is a histogram of small whole numbers, one bucket for each. It has
// only the classic form: the buckets of a native histogram grow by a factor,
// and would put 9 and 10 into one.
type Linear struct {
	// Counts are by number: the element i counts observations of i.
	Counts []uint64
	// Highest is the last finite bucket; greater numbers are in +Inf alone.
	Highest int
}

// Count is the number of observations.
func (l *Linear) Count() uint64 {
	var n uint64
	for _, c := range l.Counts {
		n += c
	}
	return n
}

// Sum of all observations.
func (l *Linear) Sum() uint64 {
	var sum uint64
	for i, c := range l.Counts {
		sum += uint64(i) * c
	}
	return sum
}

// buckets are the cumulative buckets. They stop at the last finite one.
func (l *Linear) buckets() []*dto.Bucket {
	buckets := make([]*dto.Bucket, l.Highest+1)
	var count uint64
	for i := range buckets {
		if i < len(l.Counts) {
			count += l.Counts[i]
		}
		buckets[i] = &dto.Bucket{UpperBound: new(float64(i)), CumulativeCount: new(count)}
	}
	return buckets
}

// linear hands a Linear to client_golang.
type linear struct {
	desc    *prometheus.Desc
	labels  []string
	hist    *Linear
	created *timestamppb.Timestamp
}

func (l *linear) Desc() *prometheus.Desc { return l.desc }

func (l *linear) Write(out *dto.Metric) error {
	out.Label = prometheus.MakeLabelPairs(l.desc, l.labels)
	out.Histogram = &dto.Histogram{
		SampleCount:      new(l.hist.Count()),
		SampleSum:        new(float64(l.hist.Sum())),
		CreatedTimestamp: l.created,
		Bucket:           l.hist.buckets(),
	}
	return nil
}
