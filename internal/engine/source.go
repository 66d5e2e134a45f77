// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/metric"
)

// sourceDeadline is how long a reading waits for a source.
const sourceDeadline = time.Second

// source is a source of the kernel's own counts that is in use.
type source struct {
	opened   attach.Opened
	takes    []string                   // capabilities that a read takes
	raised   func(f func() error) error // runs f with these
	families []metric.Family            // of the source's metrics, without samples
	divisors []float64                  // of values, by family
	buckets  []*metric.Buckets          // of histograms, by family
	answer   chan answer                // of the call under way; nil if there is none
	begun    time.Time
}

// goneError says that a source is not there any more. Other things that are
// missing look the same to errors.Is, such as a row of a map or a CPU's folder.
type goneError struct{ error }

// Unwrap returns the error of reading the source.
func (e goneError) Unwrap() error { return e.error }

type answer struct {
	samples map[string][]metric.Sample
	err     error
}

// newSource returns the source with the families of the metrics that it serves.
func newSource(opened attach.Opened, u *unit) (*source, error) {
	metrics, buckets := u.spec.Metrics, u.env.Buckets
	src := &source{opened: opened, takes: held(u.spec), raised: u.privilegedRead}
	for _, name := range opened.Source.Metrics {
		at := slices.IndexFunc(metrics, func(m collector.Metric) bool { return m.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("%s serves %s, which is no metric of the collector", opened.Source.From, name)
		}
		family, err := newFamily(metrics[at], buckets)
		if err != nil {
			return nil, err
		}
		for _, l := range metrics[at].Labels {
			family.Labels = append(family.Labels, l.Name)
		}
		src.families = append(src.families, family)
		src.divisors = append(src.divisors, divisor(metrics[at], buckets))
		src.buckets = append(src.buckets, buckets.Around(u.spec.Limits(name)...))
	}
	return src, nil
}

// read returns the source's families. They have no time of creation, as it is
// not known when the kernel began to count. A call that hangs is the only one
// until it returns, and costs nothing but its metrics.
func (s *source) read(ctx context.Context) ([]metric.Family, error) {
	if s.answer == nil {
		s.call(ctx)
	}
	timer := time.NewTimer(time.Until(s.begun.Add(sourceDeadline)))
	defer timer.Stop()
	var a answer
	select {
	case a = <-s.answer:
	case <-timer.C:
		return nil, fmt.Errorf("reading %s has not ended after %v", s.opened.Source.From, sourceDeadline)
	}
	s.answer = nil
	if a.err != nil {
		err := fmt.Errorf("reading %s: %w", s.opened.Source.From, a.err)
		if errors.Is(a.err, fs.ErrNotExist) {
			return nil, goneError{err}
		}
		return nil, attach.Reading(err, s.takes...)
	}
	families := slices.Clone(s.families)
	for i, name := range s.opened.Source.Metrics {
		families[i].Samples = s.inUnit(a.samples[name], i)
	}
	return families, nil
}

// inUnit returns the samples of a family in the user's unit. The reader's own
// stay as they are.
func (s *source) inUnit(samples []metric.Sample, family int) []metric.Sample {
	samples = slices.Clone(samples)
	for i := range samples {
		samples[i].Value /= s.divisors[family]
		if hist := samples[i].Hist; hist != nil {
			samples[i].Hist = &metric.Hist{Slots: hist.Slots, Sum: hist.Sum, Buckets: s.buckets[family]}
		}
	}
	return samples
}

// call begins to read.
func (s *source) call(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sourceDeadline)
	answers := make(chan answer, 1)
	s.answer, s.begun = answers, time.Now()
	go func() {
		defer cancel()
		var a answer
		a.err = s.raised(func() error {
			return attach.Safely(func() (err error) {
				a.samples, err = s.opened.Reader.Read(ctx)
				return err
			})
		})
		answers <- a
	}()
}
