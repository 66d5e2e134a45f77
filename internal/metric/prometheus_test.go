// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"
)

func gather(t testing.TB, families ...Family) []*dto.MetricFamily {
	t.Helper()
	got, err := Families(families).Gather()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func write(t testing.TB, w io.Writer, families []*dto.MetricFamily, format expfmt.Format) {
	t.Helper()
	enc := expfmt.NewEncoder(w, format, expfmt.WithCreatedLines())
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.(expfmt.Closer).Close(); err != nil {
		t.Fatal(err)
	}
}

// observe returns a histogram of values, as the eBPF programs make it.
func observe(u Unit, values ...uint64) *Hist {
	h := &Hist{Buckets: NewBuckets(u), Slots: make([]uint64, HistSlots)}
	for _, v := range values {
		h.Slots[slotOf(u, v)]++
		h.Sum += v
	}
	return h
}

var created = time.Unix(1700000000, 500e6).UTC()

func examples() []Family {
	return []Family{
		{
			Name: "ebpf_syscalls_total", Help: "System calls.", Type: Counter, Labels: []string{"syscall"}, Created: created,
			Samples: []Sample{{Labels: []string{"read"}, Value: 1 << 53}, {Labels: []string{"other"}, Value: 0}},
		},
		{
			Name: "kernscope_map_capacity", Help: "Rows.", Type: Gauge,
			Samples: []Sample{{Value: 1024}},
		},
		{
			Name: "lat_microseconds", Help: "Latency.", Type: Histogram, Labels: []string{"operation", "device"}, Created: created,
			Samples: []Sample{{
				Labels: []string{"read", "sda"},
				Hist:   observe(Microseconds, 0, 0, 999, 1000, 1001, 2000, 2001, 5_000_000, 1<<38, math.MaxUint32<<8),
			}},
		},
	}
}

// le returns the lines of a classic histogram whose counts change only at the
// given bounds.
func le(name, labels string, bounds []string, counts map[string]int) string {
	var b strings.Builder
	n := 0
	for _, bound := range bounds {
		if c, ok := counts[bound]; ok {
			n = c
		}
		fmt.Fprintf(&b, "%s_bucket{%s,le=%q} %d\n", name, labels, bound, n)
	}
	return b.String()
}

func TestText(t *testing.T) {
	var got bytes.Buffer
	write(t, &got, gather(t, examples()...), expfmt.NewFormat(expfmt.TypeTextPlain))
	want := `# HELP ebpf_syscalls_total System calls.
# TYPE ebpf_syscalls_total counter
ebpf_syscalls_total{syscall="other"} 0
ebpf_syscalls_total{syscall="read"} 9.007199254740992e+15
# HELP kernscope_map_capacity Rows.
# TYPE kernscope_map_capacity gauge
kernscope_map_capacity 1024
# HELP lat_microseconds Latency.
# TYPE lat_microseconds histogram
` + le("lat_microseconds", `device="sda",operation="read"`, strings.Fields(`1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192
		16384 32768 65536 131072 262144 524288 1.048576e+06 2.097152e+06 4.194304e+06 8.388608e+06 1.6777216e+07
		3.3554432e+07 6.7108864e+07 1.34217728e+08 2.68435456e+08 +Inf`),
		map[string]int{"1": 4, "2": 6, "4": 7, "8192": 8, "+Inf": 10}) +
		// 7001 ns, 5 ms, 2^38 ns and 2^40 - 256 ns.
		`lat_microseconds_sum{device="sda",operation="read"} 1.374394541465e+09
lat_microseconds_count{device="sda",operation="read"} 10
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestTextInSeconds(t *testing.T) {
	var got bytes.Buffer
	families := []Family{{Name: "x_seconds", Type: Histogram, Labels: []string{"a"}, Samples: []Sample{{
		Labels: []string{"b"}, Hist: observe(Seconds, 0, 953, 954, 1e9, 1e9+1, 256e9, 256e9+1),
	}}}}
	write(t, &got, gather(t, families...), expfmt.NewFormat(expfmt.TypeTextPlain))
	want := "# HELP x_seconds \n# TYPE x_seconds histogram\n" +
		le("x_seconds", `a="b"`, strings.Fields(`9.5367431640625e-07 1.9073486328125e-06 3.814697265625e-06 7.62939453125e-06
		1.52587890625e-05 3.0517578125e-05 6.103515625e-05 0.0001220703125 0.000244140625 0.00048828125 0.0009765625
		0.001953125 0.00390625 0.0078125 0.015625 0.03125 0.0625 0.125 0.25 0.5 1 2 4 8 16 32 64 128 256 +Inf`),
			map[string]int{"9.5367431640625e-07": 2, "1.9073486328125e-06": 3, "1": 4, "2": 5, "256": 6, "+Inf": 7}) +
		"x_seconds_sum{a=\"b\"} 514.000001909\nx_seconds_count{a=\"b\"} 7\n"
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestOpenMetrics(t *testing.T) {
	var got bytes.Buffer
	write(t, &got, gather(t, examples()...), expfmt.NewFormat(expfmt.TypeOpenMetrics))
	for _, line := range []string{
		"# TYPE ebpf_syscalls counter",
		`ebpf_syscalls_total{syscall="read"} 9.007199254740992e+15`,
		`ebpf_syscalls_created{syscall="read"} 1.7000000005e+09`,
		"# TYPE lat_microseconds histogram",
		`lat_microseconds_bucket{device="sda",operation="read",le="1.0"} 4`,
		`lat_microseconds_bucket{device="sda",operation="read",le="+Inf"} 10`,
		`lat_microseconds_created{device="sda",operation="read"} 1.7000000005e+09`,
		"# EOF",
	} {
		if !strings.Contains(got.String(), "\n"+line+"\n") && !strings.HasPrefix(got.String(), line) {
			t.Errorf("no line %q in:\n%s", line, got.String())
		}
	}
}

// decode writes families as protobuf and reads them again.
func decode(t *testing.T, families ...Family) map[string]*dto.MetricFamily {
	t.Helper()
	var b bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	write(t, &b, gather(t, families...), format)
	decoder := expfmt.NewDecoder(&b, expfmt.ResponseFormat(http.Header{"Content-Type": {string(format)}}))
	decoded := make(map[string]*dto.MetricFamily)
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); err == io.EOF {
			return decoded
		} else if err != nil {
			t.Fatal(err)
		}
		decoded[f.GetName()] = &f
	}
}

// counts returns the counts of the buckets from their spans and deltas.
func counts(t *testing.T, h *dto.Histogram) map[int32]int64 {
	t.Helper()
	counts := make(map[int32]int64)
	deltas := h.GetPositiveDelta()
	var index int32
	var count int64
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			if len(deltas) == 0 {
				t.Fatalf("spans %v are longer than deltas %v", h.GetPositiveSpan(), h.GetPositiveDelta())
			}
			count += deltas[0]
			deltas = deltas[1:]
			if count != 0 {
				counts[index] = count
			}
			index++
		}
	}
	if len(deltas) > 0 {
		t.Fatalf("spans %v are shorter than deltas %v", h.GetPositiveSpan(), h.GetPositiveDelta())
	}
	return counts
}

func TestProtobuf(t *testing.T) {
	decoded := decode(t, examples()...)
	c := decoded["ebpf_syscalls_total"].GetMetric()[1].GetCounter()
	if c.GetValue() != 1<<53 || !c.GetCreatedTimestamp().AsTime().Equal(created) {
		t.Errorf("counter is %v", c)
	}
	h := decoded["lat_microseconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 10 || h.GetSampleSum() != 1374394541.465 || len(h.GetBucket()) != 29 ||
		h.GetSchema() != 3 || h.GetZeroCount() != 2 || !h.GetCreatedTimestamp().AsTime().Equal(created) {
		t.Errorf("histogram is %v", h)
	}
	if z := h.GetZeroThreshold(); z <= 0 || z >= 1e-9 {
		t.Errorf("the zero bucket ends at %v, above 1 ns or at nothing", z)
	}
	// 999 and 1000 ns; 1001; 2000; 2001; 5 ms: 8*log2(5000) = 98.3; 2^38 ns:
	// 8*log2(2^38/1000) = 224.3; and the overflow.
	want := map[int32]int64{0: 2, 1: 1, 8: 1, 9: 1, 99: 1, 225: 1, 8193: 1}
	if got := counts(t, h); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("buckets are %v, want %v", got, want)
	}
}

// A histogram of this package and one of client_golang must not differ in any observation that
// float64 can hold.
func TestNativeAsClientGolang(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	reference := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "h", NativeHistogramBucketFactor: math.Exp2(1. / 8), Buckets: prometheus.ExponentialBuckets(1, 2, 29),
	})
	values := []uint64{0, 1 << 40}
	reference.Observe(0)
	reference.Observe(math.Inf(1))
	for range 3000 {
		// Values of whole microseconds, and only some buckets of them.
		v := 1 + random.Uint64N(1<<random.UintN(28))
		if v%7 == 0 || v < 40 {
			values = append(values, v*1000)
			reference.Observe(float64(v))
		}
	}
	var want dto.Metric
	if err := reference.Write(&want); err != nil {
		t.Fatal(err)
	}
	got := gather(t, Family{Name: "h", Type: Histogram, Samples: []Sample{{Hist: observe(Microseconds, values...)}}})[0].Metric[0]
	want.Histogram.SampleSum = got.Histogram.SampleSum // +Inf there
	want.Histogram.CreatedTimestamp = nil              // unknown here
	if !proto.Equal(got, &want) {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want.String())
	}
}

func TestEmptyHistogramIsNative(t *testing.T) {
	h := decode(t, Family{Name: "h", Type: Histogram, Samples: []Sample{{Hist: observe(Seconds)}}})["h"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 0 || len(h.GetBucket()) != 29 || h.Schema == nil || h.GetZeroThreshold() == 0 {
		t.Errorf("histogram is %v", h)
	}
}

// If a family is wrong, all of it is left out, and no other family.
func TestWrongFamily(t *testing.T) {
	hist := observe(Seconds, 1)
	for name, c := range map[string]struct {
		family Family
		want   string
	}{
		"few values": {
			Family{Type: Counter, Labels: []string{"a", "b"}, Samples: []Sample{{Labels: []string{"x", "y"}}, {Labels: []string{"x"}}}},
			`family bad: 1 label values ["x"] for the labels ["a" "b"]`,
		},
		"many values": {
			Family{Type: Histogram, Samples: []Sample{{Labels: []string{"x"}, Hist: hist}}},
			`family bad: 1 label values ["x"] for the labels []`,
		},
		"duplicate": {
			Family{Type: Histogram, Labels: []string{"a"}, Samples: []Sample{{Labels: []string{"x"}, Hist: hist}, {Labels: []string{"x"}, Hist: hist}}},
			`family bad: two samples have the label values ["x"]`,
		},
		"not UTF-8": {
			Family{Type: Histogram, Labels: []string{"a"}, Samples: []Sample{{Labels: []string{"\xff"}, Hist: hist}}},
			`family bad: label a="\xff" is not UTF-8`,
		},
		"le": {
			Family{Type: Histogram, Labels: []string{"le"}, Samples: []Sample{{Labels: []string{"x"}, Hist: hist}}},
			`family bad: a histogram must not have a label named le`,
		},
		"no histogram": {
			Family{Type: Histogram, Samples: []Sample{{Value: 1}}},
			`family bad: the sample [] is not a histogram of 307 slots`,
		},
		"short histogram": {
			Family{Type: Histogram, Samples: []Sample{{Hist: &Hist{Buckets: NewBuckets(Seconds), Slots: make([]uint64, 306)}}}},
			`family bad: the sample [] is not a histogram of 307 slots`,
		},
		"no last bucket": {
			Family{Type: Histogram, Samples: []Sample{{Linear: &Linear{Highest: -1}}}},
			`family bad: the sample [] is a histogram whose last finite bucket is -1`,
		},
		"no type": {
			Family{Samples: []Sample{{Value: 1}}},
			`family bad: there is no type 0`,
		},
		"bad label name": {
			Family{Type: Gauge, Labels: []string{"a-b"}, Samples: []Sample{{Labels: []string{"x"}}}},
			`family bad: "a-b" is not a label name`,
		},
		"reserved label name": {
			Family{Type: Gauge, Labels: []string{"__name__"}, Samples: []Sample{{Labels: []string{"x"}}}},
			`family bad: "__name__" is not a label name`,
		},
		"label name": {
			Family{Type: Gauge, Labels: []string{"a", "a"}, Samples: []Sample{{Labels: []string{"x", "y"}}}},
			`family bad: two labels have the name "a"`,
		},
		"label name of a histogram": {
			Family{Type: Histogram, Labels: []string{"a", "a"}, Samples: []Sample{{Labels: []string{"x", "y"}, Hist: hist}}},
			`family bad: two labels have the name "a"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.family.Name = "bad"
			families := append([]Family{c.family}, examples()...)
			got, err := Families(families).Gather()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %s", err, c.want)
			}
			var names []string
			for _, f := range got {
				names = append(names, f.GetName())
			}
			if want := []string{"ebpf_syscalls_total", "kernscope_map_capacity", "lat_microseconds"}; !slices.Equal(names, want) {
				t.Errorf("gathered %q, want %q", names, want)
			}
		})
	}
}

// A family is left out if another family, here or in the other gatherer, has its name. A family
// without samples is left out, too.
func TestNamesThatAreTaken(t *testing.T) {
	one := []Sample{{Value: 1}}
	others := prometheus.NewRegistry()
	for _, name := range []string{"lat_count", "more", "a_total"} {
		others.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name}))
	}
	got, err := Families{
		{Name: "lat", Type: Histogram, Samples: []Sample{{Hist: observe(Seconds, 1)}}},
		{Name: "lat_sum", Type: Counter, Samples: one},
		{Name: "a_total", Type: Counter, Samples: one},
		{Name: "a_total", Type: Gauge, Samples: one},
		{Name: "a-b", Type: Gauge, Samples: one},
		{Name: "none", Type: Gauge},
	}.GatherWith(others)
	var names []string
	for _, f := range got {
		names = append(names, f.GetName())
	}
	if want := []string{"a_total", "lat", "more"}; !slices.Equal(names, want) || got[0].GetType() != dto.MetricType_COUNTER {
		t.Errorf("gathered %q, want %q", names, want)
	}
	want := []string{
		"family lat_sum: another family has the name lat_sum",
		"family a_total: another family has the name a_total",
		`family a-b: "a-b" is not a metric name`,
		"family a_total: another family has the name a_total",
		"family lat_count: another family has the name lat_count",
	}
	var several prometheus.MultiError
	if !errors.As(err, &several) || len(several) != len(want) {
		t.Fatalf("errors are %v, want %q", err, want)
	}
	for i := range want {
		if several[i].Error() != want[i] {
			t.Errorf("error %d is %q, want %q", i, several[i], want[i])
		}
	}
}

// BenchmarkScrape gathers what a machine with ten disks would serve.
func BenchmarkScrape(b *testing.B) {
	random := rand.New(rand.NewPCG(9, 10))
	buckets := NewBuckets(Microseconds)
	latency := Family{Name: "lat_microseconds", Type: Histogram, Labels: []string{"device", "operation"}, Created: created}
	for i := range 50 {
		h := &Hist{Buckets: buckets, Slots: make([]uint64, HistSlots)}
		for range 100 {
			h.Slots[80+random.IntN(100)]++
		}
		latency.Samples = append(latency.Samples, Sample{Labels: []string{fmt.Sprint("sd", i/5), fmt.Sprint(i % 5)}, Hist: h})
	}
	calls := Family{Name: "calls_total", Type: Counter, Labels: []string{"syscall"}, Created: created}
	for i := range 400 {
		calls.Samples = append(calls.Samples, Sample{Labels: []string{fmt.Sprint("sys_", i)}, Value: float64(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		gather(b, latency, calls)
	}
}
