// SPDX-License-Identifier: Apache-2.0

package metric

import dto "github.com/prometheus/client_model/go"

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

// gather writes a Linear as a classic histogram.
func (l *Linear) gather() *dto.Histogram {
	return &dto.Histogram{
		SampleCount: new(l.Count()),
		SampleSum:   new(float64(l.Sum())),
		Bucket:      l.buckets(),
	}
}
