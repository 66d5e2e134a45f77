// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"

	"github.com/kernscope/kernscope/internal/metric"
)

// Series selects the samples of a family that have the labels.
type Series struct {
	Name   string
	Labels map[string]string
}

// with returns the series with more labels.
func (s Series) with(labels map[string]string) *Series {
	all := make(map[string]string)
	maps.Copy(all, s.Labels)
	maps.Copy(all, labels)
	return &Series{s.Name, all}
}

// total returns the sum of the samples. The value of a histogram is its count.
func (s Series) total(families []metric.Family) float64 {
	var total float64
	for _, value := range s.by("", families) {
		total += value
	}
	return total
}

// by returns the sum of the samples for each value of a label.
func (s Series) by(label string, families []metric.Family) map[string]float64 {
	sums := make(map[string]float64)
	for _, f := range families {
		if f.Name != s.Name {
			continue
		}
		at := slices.Index(f.Labels, label)
		for _, sample := range f.Samples {
			if !s.matches(f.Labels, sample.Labels) {
				continue
			}
			value, key := sample.Value, ""
			switch {
			case sample.Hist != nil:
				value = float64(sample.Hist.Count())
			case sample.Linear != nil:
				value = float64(sample.Linear.Count())
			}
			if at >= 0 {
				key = sample.Labels[at]
			}
			sums[key] += value
		}
	}
	return sums
}

// matches reports whether a sample with these label names and values belongs to the series.
func (s Series) matches(names, values []string) bool {
	for name, want := range s.Labels {
		if i := slices.Index(names, name); i < 0 || values[i] != want {
			return false
		}
	}
	return true
}
