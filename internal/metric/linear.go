// SPDX-License-Identifier: Apache-2.0

package metric

import dto "github.com/prometheus/client_model/go"

// Linear is a histogram of small whole numbers, with one bucket for each number. It has only the
// classic form, because the buckets of a native histogram grow by a factor: 9 and 10 would share
// one.
type Linear struct {
	// Counts holds the counts: element i counts observations of i.
	Counts []uint64
	// Highest is the last finite bucket. Only the bucket +Inf holds greater numbers.
	Highest int
}

// maxHighest is the most that Highest can be. Each bucket is a series.
const maxHighest = 1 << 10

// Count returns the number of observations.
func (l *Linear) Count() uint64 {
	var n uint64
	for _, c := range l.Counts {
		n += c
	}
	return n
}

// Sum returns the sum of all observations.
func (l *Linear) Sum() uint64 {
	var sum uint64
	for i, c := range l.Counts {
		sum += uint64(i) * c
	}
	return sum
}

// buckets returns the cumulative buckets up to the last finite one.
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

// gather returns the classic histogram.
func (l *Linear) gather() *dto.Histogram {
	return &dto.Histogram{
		SampleCount: new(l.Count()),
		SampleSum:   new(float64(l.Sum())),
		Bucket:      l.buckets(),
	}
}
