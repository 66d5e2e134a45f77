// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/metric"
)

func TestSource(t *testing.T) {
	metrics := []collector.Metric{
		{Name: "faults", Help: "Faults.", Kind: collector.Counter, Labels: []collector.Label{{Name: "zone"}}},
		{Name: "lat", Kind: collector.Histogram},
	}
	var fail error
	spec := &collector.Source{
		From: "/proc/x", Metrics: []string{"lat", "faults"},
	}
	read := collector.ReadFunc(func(context.Context) (map[string][]metric.Sample, error) {
		return map[string][]metric.Sample{
			"faults": {{Labels: []string{"dma"}, Value: 7}},
			"lat":    {{Hist: &metric.Hist{Slots: make([]uint64, metric.HistSlots), Sum: 9}}},
		}, fail
	})
	slow := &collector.Slow{Metric: `lat{zone="dma"}`, Limit: 50 * time.Millisecond}
	u := &unit{
		spec: collector.Spec{Metrics: metrics, Alerts: []collector.Alert{{Slow: slow}}},
		env:  &environment{Config: Config{Buckets: metric.NewBuckets(metric.Seconds)}},
	}
	s, err := newSource(attach.Opened{Source: spec, Reader: read}, u)
	if err != nil {
		t.Fatal(err)
	}
	families, err := s.read(t.Context())
	if err != nil || len(families) != 2 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	if f := families[0]; f.Name != "lat_seconds" || f.Type != metric.Histogram || f.Samples[0].Hist.Sum != 9 {
		t.Errorf("histogram is %+v", f)
	}
	served, err := metric.Families(families[:1]).Gather()
	if err != nil || len(served) != 1 {
		t.Fatal(served, err)
	}
	fine := 0
	for _, b := range served[0].GetMetric()[0].GetHistogram().GetBucket() {
		if le := b.GetUpperBound(); le > 0.048 && le < 0.053 {
			fine++
		}
	}
	if fine != 2 {
		t.Errorf("%d bounds next to the limit of an alert, want both: %v", fine, served)
	}
	f := families[1]
	if f.Name != "faults" || f.Help != "Faults." || f.Labels[0] != "zone" || f.Samples[0].Value != 7 || !f.Created.IsZero() {
		t.Errorf("counter is %+v", f)
	}

	fail = errors.New("gone")
	if families, err := s.read(t.Context()); families != nil || err == nil || err.Error() != "reading /proc/x: gone" {
		t.Errorf("%v, error %v", families, err)
	}
	spec.Metrics = append(spec.Metrics, "forgotten")
	if _, err := newSource(attach.Opened{Source: spec, Reader: read}, u); err == nil || !strings.Contains(err.Error(), "forgotten") {
		t.Errorf("error %v, want one that names the metric", err)
	}
}
