// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bytes"
	"testing"

	"github.com/prometheus/common/expfmt"
)

func TestLinear(t *testing.T) {
	family := Family{
		Name: "order", Help: "Orders.", Type: Histogram, Created: created,
		// 0 was observed 7 times, 2 once, and numbers beyond the last finite bucket 5 times.
		Samples: []Sample{{Linear: &Linear{Counts: []uint64{7, 0, 1, 0, 2, 3}, Highest: 3}}},
	}
	var got bytes.Buffer
	write(t, &got, gather(t, family), expfmt.NewFormat(expfmt.TypeTextPlain))
	const want = `# HELP order Orders.
# TYPE order histogram
order_bucket{le="0"} 7
order_bucket{le="1"} 7
order_bucket{le="2"} 8
order_bucket{le="3"} 8
order_bucket{le="+Inf"} 13
order_sum 25
order_count 13
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &got, want)
	}
	// Without a schema, a scraper of native histograms takes the classic histogram.
	h := decode(t, family)["order"].GetMetric()[0].GetHistogram()
	if h.Schema != nil || len(h.GetBucket()) != 4 || h.GetSampleSum() != 25 || !h.GetCreatedTimestamp().AsTime().Equal(created) {
		t.Errorf("histogram is %v", h)
	}
}

func TestLinearShorterThanItsBuckets(t *testing.T) {
	l := &Linear{Counts: []uint64{1, 2}, Highest: 3}
	if b := l.buckets(); len(b) != 4 || b[3].GetCumulativeCount() != 3 {
		t.Errorf("buckets are %v, want four of which the last holds 3", b)
	}
}
