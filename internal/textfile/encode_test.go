// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"bytes"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kernscope/kernscope/internal/metric"
)

// parse reads a text with the parser that node_exporter uses.
func parse(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

// families returns a family of each type, and a counter with two samples of equal labels.
func families() []metric.Family {
	slots := make([]uint64, metric.HistSlots)
	slots[0], slots[100] = 2, 5
	created := time.Now().Add(-time.Hour)
	return []metric.Family{
		{Name: "a_total", Help: "A.", Type: metric.Counter, Created: created, Labels: []string{"l"}, Samples: []metric.Sample{
			{Labels: []string{"with \"quotes\", a \\ and\na line"}, Value: 1 << 53},
		}},
		{Name: "b", Help: "B.", Type: metric.Gauge, Samples: []metric.Sample{{Value: 0.5}}},
		{Name: "c_seconds", Help: "C.", Type: metric.Histogram, Created: created, Samples: []metric.Sample{
			{Hist: &metric.Hist{Slots: slots, Sum: 12_345, Buckets: metric.NewBuckets(metric.Seconds)}},
		}},
		{Name: "d_total", Help: "D.", Type: metric.Counter, Labels: []string{"l"}, Samples: []metric.Sample{
			{Labels: []string{"x"}, Value: 1}, {Labels: []string{"x"}, Value: 2},
		}},
	}
}

func TestEncode(t *testing.T) {
	text, err := Encode(families())
	if err == nil || !strings.Contains(err.Error(), "d_total") {
		t.Errorf("error %v, want one that names the family", err)
	}
	got := parse(t, text)
	if len(got) != 3 {
		t.Errorf("families %v", got)
	}
	a := got["a_total"].GetMetric()[0]
	if a.GetCounter().GetValue() != 1<<53 || a.GetLabel()[0].GetValue() != "with \"quotes\", a \\ and\na line" || got["a_total"].GetHelp() != "A." {
		t.Errorf("counter %v", a)
	}
	h := got["c_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 7 || h.GetSampleSum() != 12_345e-9 {
		t.Errorf("histogram %v", h)
	}
	first, last := h.GetBucket()[0], h.GetBucket()[len(h.GetBucket())-1]
	if first.GetCumulativeCount() != 2 || last.GetCumulativeCount() != 7 || len(h.GetBucket()) < 3 {
		t.Errorf("buckets %v", h.GetBucket())
	}
	for name, f := range got {
		for _, m := range f.GetMetric() {
			if m.TimestampMs != nil {
				t.Errorf("%s has a timestamp, for which node_exporter refuses the file", name)
			}
		}
	}
}
