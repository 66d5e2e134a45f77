// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

// TestBoundsNextToLimits wants the classic histogram as fine as the native one around the limits of
// alerts.
func TestBoundsNextToLimits(t *testing.T) {
	families, err := kerneltest.Run(t, Spec()).Families(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	served, err := metric.Families(families).Gather()
	if err != nil {
		t.Fatal(err)
	}
	limits := 0
	for _, f := range served {
		if f.GetName() != "ebpf_sched_runqueue_latency_microseconds" {
			continue
		}
		for _, a := range Spec().Alerts {
			limit, below, above := float64(a.Slow.Limit.Microseconds()), 0.0, 0.0
			for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
				if le := b.GetUpperBound(); le < limit {
					below = le
				} else if above == 0 {
					above = le
				}
			}
			const eighth = 1.0906 // 2^(1/8)
			if above > below*eighth {
				t.Errorf("%s: its limit of %v µs is between %v and %v", a.Name, limit, below, above)
			}
			limits++
		}
	}
	if limits != 2 {
		t.Errorf("%d limits, want 2", limits)
	}
}
