// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// source is a source of the kernel's own counts that is in use.
type source struct {
	spec     *collector.Source
	families []metric.Family // of spec.Metrics, without samples
}

// newSource finds the metrics that the source serves among those wanted.
func newSource(s *collector.Source, metrics []collector.Metric, layout *metric.Layout) (*source, error) {
	src := &source{spec: s}
	for _, name := range s.Metrics {
		found := false
		for _, m := range metrics {
			if m.Name != name || found {
				continue
			}
			family, err := newFamily(m, layout)
			if err != nil {
				return nil, err
			}
			src.families = append(src.families, family)
			found = true
		}
		if !found {
			return nil, fmt.Errorf("%s serves %s, which is no metric of the collector", s.From, name)
		}
	}
	return src, nil
}

// read yields the source's families. When they began to count is not known.
func (s *source) read(ctx context.Context) ([]metric.Family, error) {
	samples, err := s.spec.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.spec.From, err)
	}
	families := make([]metric.Family, len(s.families))
	for i, name := range s.spec.Metrics {
		families[i] = s.families[i]
		families[i].Samples = samples[name]
	}
	return families, nil
}
