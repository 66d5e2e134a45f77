// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// counters returns the families of hits and misses, by pool.
func counters(numbers map[string][2]float64) []metric.Family {
	families := []metric.Family{
		{Name: "hits", Type: metric.Counter, Labels: []string{"pool"}},
		{Name: "misses", Type: metric.Counter, Labels: []string{"pool"}},
		{Name: "other", Type: metric.Counter, Labels: []string{"pool"}, Samples: []metric.Sample{{Labels: []string{"a"}, Value: 1e9}}},
	}
	for pool, n := range numbers {
		for i, value := range n {
			families[i].Samples = append(families[i].Samples, metric.Sample{Labels: []string{pool}, Value: value})
		}
	}
	return families
}

func TestRatioIsOfTheGrowthInTheWindow(t *testing.T) {
	r := newRatio(collector.Metric{
		Name: "hit_ratio", Kind: collector.Ratio, Part: "hits", Whole: []string{"hits", "misses"}, Window: time.Minute,
	}, collector.Spec{Metrics: []collector.Metric{{Name: "hits"}, {Name: "misses"}, {Name: "other"}}}, metric.Seconds, 0)
	for i, window := range []struct {
		numbers map[string][2]float64
		want    map[string]float64
	}{
		{map[string][2]float64{"a": {1000, 0}}, nil}, // where they stood at the start
		{map[string][2]float64{"a": {1003, 1}, "b": {1, 1}}, map[string]float64{"a": 0.75, "b": 0.5}},
		{map[string][2]float64{"a": {1003, 1}, "b": {1, 5}}, map[string]float64{"b": 0}}, // nothing in a
		{map[string][2]float64{"a": {1007, 1}, "b": {1, 5}}, map[string]float64{"a": 1}},
		{map[string][2]float64{"a": {1007, 1}, "b": {1, 5}}, nil},
	} {
		r.turn(counters(window.numbers))
		got := make(map[string]float64)
		for _, s := range r.latest.Samples {
			got[s.Labels[0]] = s.Value
		}
		if len(got) != len(window.want) {
			t.Errorf("window %d: ratios %v, want %v", i, got, window.want)
		}
		for pool, want := range window.want {
			if value, ok := got[pool]; !ok || value != want {
				t.Errorf("window %d: ratios %v, want %v", i, got, window.want)
			}
		}
	}
	if f := r.latest; f.Name != "hit_ratio" || f.Type != metric.Gauge || len(f.Labels) != 1 || f.Labels[0] != "pool" {
		t.Errorf("family %+v, want a gauge with the label pool", f)
	}
}

// TestRatioOfDurations checks that a ratio finds counters whose names end in the user's unit.
func TestRatioOfDurations(t *testing.T) {
	spec := collector.Spec{Metrics: []collector.Metric{
		{Name: "busy_total", Kind: collector.Counter, Duration: true}, {Name: "idle_total", Kind: collector.Counter, Duration: true},
	}}
	m := collector.Metric{Name: "busy_ratio", Kind: collector.Ratio, Part: "busy_total", Whole: []string{"busy_total", "idle_total"}, Window: time.Minute}
	for _, unit := range []metric.Unit{metric.Seconds, metric.Microseconds} {
		r := newRatio(m, spec, unit, 0)
		for _, n := range []float64{0, 3} {
			r.turn([]metric.Family{
				{Name: "busy_" + unit.String() + "_total", Samples: []metric.Sample{{Value: n}}},
				{Name: "idle_" + unit.String() + "_total", Samples: []metric.Sample{{Value: 3 * n}}},
			})
		}
		if s := r.latest.Samples; len(s) != 1 || s[0].Value != 0.25 {
			t.Errorf("in %v: ratios %+v, want 0.25", unit, s)
		}
	}
}
