// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/internal/metric"
)

// counted returns a histogram with n observations in each of the slots.
func counted(n uint64, slots ...int) *metric.Hist {
	h := &metric.Hist{Buckets: metric.NewBuckets(metric.Microseconds), Slots: make([]uint64, metric.HistSlots)}
	for _, s := range slots {
		h.Slots[s] = n
	}
	return h
}

func TestDraw(t *testing.T) {
	family := metric.Family{Name: "f", Labels: []string{"device"}, Samples: []metric.Sample{
		{Labels: []string{"few"}, Hist: counted(1, 100)},
		{Labels: []string{"none"}, Hist: counted(0)},
		{Labels: []string{"many"}, Hist: counted(50, 0, 100, 116)},
		{Labels: []string{"beyond"}, Hist: counted(1, metric.HistSlots-1)},
	}}
	for i := range mostCharts {
		family.Samples = append(family.Samples, metric.Sample{Labels: []string{fmt.Sprint(i)}, Hist: counted(2, 101)})
	}
	d, ok := draw(family)
	if !ok || len(d.Charts) != mostCharts || d.Left != 3 {
		t.Fatalf("%v, %d charts, %d left", ok, len(d.Charts), d.Left)
	}
	many := d.Charts[0]
	if many.Labels != "device=many" || many.Count != 150 || many.Zero != 50 || len(many.Bars) != 2 {
		t.Fatalf("the fullest histogram is not first, or wrong: %+v", many)
	}
	buckets := metric.NewBuckets(metric.Microseconds)
	_, median := buckets.SlotBounds(100)
	_, most := buckets.SlotBounds(116)
	if many.P50 != duration(median) || many.P99 != duration(most) || many.Max != duration(most) {
		t.Errorf("quantiles %s, %s, %s, want %s, %s", many.P50, many.P99, many.Max, duration(median), duration(most))
	}
	// Slots two doublings apart have equal distances on the axis.
	first, second := many.Bars[0], many.Bars[1]
	if first.X != 0 || math.Abs((second.X-first.X)/first.Width-16) > 0.01 || first.Height != 100 || first.Top != 0 {
		t.Errorf("bars %+v and %+v", first, second)
	}
	if _, ok := draw(metric.Family{Samples: []metric.Sample{{Value: 3}}}); ok {
		t.Error("a counter was drawn")
	}
	if zero, ok := draw(metric.Family{Samples: []metric.Sample{{Hist: counted(3, 0)}}}); !ok || zero.Charts[0].Zero != 3 {
		t.Errorf("nothing but zeros: %v, %+v", ok, zero)
	}
}

func TestDistributionsPage(t *testing.T) {
	i := start(t, func(c *Config) {
		c.Families = func(context.Context, []string) ([]metric.Family, error) {
			return []metric.Family{{Name: "ebpf_x_microseconds", Help: "<b>", Labels: []string{"l"},
				Samples: []metric.Sample{{Labels: []string{"<script>"}, Hist: counted(7, 90)}}}}, nil
		}
	})
	code, body, _ := i.page(distributionsPath)
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	contains(t, body, "ebpf_x_microseconds", "7 events", "<rect ", "l=&lt;script&gt;", "&lt;b&gt;")
	lacks(t, body, "<script>", "NaN", "Inf")
	if n := strings.Count(body, "<rect "); n != 1 {
		t.Errorf("%d bars", n)
	}
}
