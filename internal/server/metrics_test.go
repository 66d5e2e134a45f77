// SPDX-License-Identifier: Apache-2.0

package server

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/kernscope/kernscope/internal/metric"
)

func TestChoosingCollectors(t *testing.T) {
	i := start(t, nil)
	for _, tt := range []struct {
		query string
		code  int
		want  []string // collectors, if the code is 200
		says  string
	}{
		{"", 200, []string{"diskio", "schedlat", "syscall"}, ""},
		{"?collect[]=syscall", 200, []string{"syscall"}, ""},
		{"?collect[]=syscall&collect[]=diskio&collect[]=syscall", 200, []string{"diskio", "syscall"}, ""},
		{"?exclude[]=diskio", 200, []string{"schedlat", "syscall"}, ""},
		{"?exclude[]=diskio&exclude[]=schedlat&exclude[]=syscall", 200, nil, ""},
		{"?name[]=ebpf_diskio_total", 200, []string{"diskio"}, ""},
		{"?collect[]=diskio&exclude[]=syscall", 400, nil, "collect[] and exclude[] cannot be combined"},
		{"?collect[]=diskio&collect[]=disk&collect[]=zfs", 400, nil, `unknown collector "disk", "zfs": there are diskio, schedlat, syscall`},
		{"?exclude[]=", 400, nil, `unknown collector ""`},
	} {
		code, body, _ := i.page("/metrics" + tt.query)
		if code != tt.code {
			t.Errorf("%q: code %d, want %d: %s", tt.query, code, tt.code, body)
		}
		contains(t, body, tt.says)
		for _, c := range []string{"diskio", "schedlat", "syscall"} {
			if got := strings.Contains(body, "ebpf_"+c+"_total 23\n"); got != slices.Contains(tt.want, c) {
				t.Errorf("%q: families of %s are served: %v", tt.query, c, got)
			}
		}
	}
}

// histogram returns a family as the engine makes it.
func histogram() metric.Family {
	h := &metric.Hist{Buckets: metric.NewBuckets(metric.Microseconds), Slots: make([]uint64, metric.HistSlots), Sum: 46000}
	h.Slots[81] = 46 // 1000 ns are in here, as are 1024 ns less one eighth of a doubling
	return metric.Family{
		Name: "ebpf_latency_microseconds", Help: "Latency.", Type: metric.Histogram,
		Samples: []metric.Sample{{Hist: h}},
	}
}

func TestFormats(t *testing.T) {
	i := start(t, func(cfg *Config) {
		cfg.Families = func(context.Context, []string) ([]metric.Family, error) {
			return []metric.Family{histogram()}, nil
		}
	})
	_, body, header := i.page("/metrics")
	contains(t, header.Get("Content-Type"), "text/plain; version=0.0.4")
	contains(t, body, `ebpf_latency_microseconds_bucket{le="+Inf"} 46`, "ebpf_latency_microseconds_sum 46\n")

	_, body, header = i.page("/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	contains(t, header.Get("Content-Type"), "application/openmetrics-text")
	contains(t, body, "ebpf_latency_microseconds_sum 46.0\n", "\n# EOF\n")

	_, body, header = i.page("/metrics", "Accept",
		"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
	contains(t, header.Get("Content-Type"), "application/vnd.google.protobuf")
	var family dto.MetricFamily
	if err := expfmt.NewDecoder(strings.NewReader(body), expfmt.ResponseFormat(header)).Decode(&family); err != nil {
		t.Fatal(err)
	}
	h := family.GetMetric()[0].GetHistogram()
	if h.GetSchema() != 3 || h.GetSampleCount() != 46 || len(h.GetPositiveSpan()) != 1 || h.GetPositiveDelta()[0] != 46 || len(h.GetBucket()) == 0 {
		t.Errorf("the histogram is not native and classic at once: %v", h)
	}

	_, body, header = i.page("/metrics", "Accept-Encoding", "gzip")
	if header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %v", header)
	}
	unzip, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(plain), "ebpf_latency_microseconds_sum 46\n")
}

// If a family cannot be right, the server still serves the others.
func TestWrongFamilyIsLeftOut(t *testing.T) {
	i := start(t, func(cfg *Config) {
		cfg.Families = func(ctx context.Context, names []string) ([]metric.Family, error) {
			good, err := source(ctx, names)
			twice := []metric.Sample{{Value: 1}, {Value: 2}}
			return append(good,
				metric.Family{Name: "ebpf_twice_total", Help: "Twice.", Type: metric.Counter, Samples: twice},
				metric.Family{Name: "ebpf_diskio_total", Help: "Not the same help.", Type: metric.Gauge, Samples: twice[:1]},
			), err
		}
	})
	code, body, _ := i.page("/metrics")
	if code != http.StatusOK {
		t.Errorf("code %d", code)
	}
	contains(t, body, "ebpf_schedlat_total 23\n", `kernscope_collector_up{collector="diskio"} 1`)
	lacks(t, body, "ebpf_twice_total")
	contains(t, i.logs.String(), "level=ERROR", "family ebpf_twice_total: two samples have the label values", "ebpf_diskio_total")
}

func TestFailingFamilies(t *testing.T) {
	i := start(t, func(cfg *Config) {
		cfg.Families = func(context.Context, []string) ([]metric.Family, error) { return nil, errors.New("the map is gone") }
		cfg.SelfMetrics = prometheus.NewRegistry()
	})
	code, body, _ := i.page("/metrics")
	if code != http.StatusInternalServerError {
		t.Errorf("code %d", code)
	}
	contains(t, body, "The scrape failed: the map is gone")
	contains(t, i.logs.String(), "level=ERROR", "the map is gone")
}

// The metrics about the exporter's process count its requests. All addresses share one counter of
// errors.
func TestSelfMetrics(t *testing.T) {
	i := start(t, func(cfg *Config) {
		cfg.SelfMetrics = prometheus.NewRegistry()
		cfg.SelfMetrics.MustRegister(collectors.NewGoCollector())
	})
	i.page("/metrics")
	i.page("/metrics?collect[]=nothing")
	_, body, _ := i.page("/metrics?collect[]=diskio")
	contains(t, body, "go_goroutines ", "ebpf_diskio_total 23\n",
		`promhttp_metric_handler_requests_total{code="200"} 1`,
		`promhttp_metric_handler_requests_total{code="400"} 1`,
		`promhttp_metric_handler_requests_in_flight 1`,
		`promhttp_metric_handler_errors_total{cause="gathering"} 0`)
	lacks(t, i.logs.String(), "level=ERROR")
}

func TestLimitOfRequests(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	i := start(t, func(cfg *Config) {
		cfg.MaxRequests = 2
		cfg.SelfMetrics = prometheus.NewRegistry()
		cfg.Families = func(ctx context.Context, names []string) ([]metric.Family, error) {
			entered <- struct{}{}
			<-release
			return source(ctx, names)
		}
	})
	codes := make(chan int, 2)
	for _, name := range []string{"diskio", "schedlat"} { // those of one form share their work
		go func() {
			code, _, _ := i.page("/metrics?collect[]=" + name)
			codes <- code
		}()
		receive(t, "a scrape", entered)
	}
	code, body, _ := i.page("/metrics")
	if code != http.StatusServiceUnavailable {
		t.Errorf("the third scrape has code %d", code)
	}
	contains(t, body, "2 scrapes are running, which is the limit")
	i.page("/metrics")
	if n := strings.Count(i.logs.String(), "Refusing scrapes"); n != 1 {
		t.Errorf("%d lines of the log say that scrapes are refused", n)
	}
	if code, _, _ := i.page("/-/healthy"); code != http.StatusOK {
		t.Errorf("the limit of scrapes keeps /-/healthy from answering: %d", code)
	}
	close(release)
	for range 2 {
		if code := receive(t, "an answer", codes); code != http.StatusOK {
			t.Errorf("a scrape within the limit has code %d", code)
		}
	}
	go func() { <-entered }()
	code, body, _ = i.page("/metrics")
	if code != http.StatusOK {
		t.Errorf("a scrape after the others has code %d", code)
	}
	contains(t, body, `promhttp_metric_handler_requests_total{code="503"} 2`)
}

// TestQueriesLeaveSlots has clients ask for all that requests with a query may take. A scraper
// without one is served.
func TestQueriesLeaveSlots(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	i := start(t, func(cfg *Config) {
		cfg.MaxRequests = 4
		cfg.Families = func(ctx context.Context, names []string) ([]metric.Family, error) {
			if len(names) == 1 {
				entered <- struct{}{}
				<-release
			}
			return source(ctx, names)
		}
	})
	var codes sync.WaitGroup
	for _, name := range []string{"diskio", "schedlat", "diskio&name[]=x"} {
		codes.Go(func() {
			if code, _, _ := i.page("/metrics?collect[]=" + name); code != http.StatusOK {
				t.Errorf("a query within the limit has code %d", code)
			}
		})
		receive(t, "a scrape", entered)
	}
	if code, body, _ := i.page("/metrics?name[]=y"); code != http.StatusServiceUnavailable {
		t.Errorf("the fourth query has code %d: %s", code, body)
	}
	if code, _, _ := i.page("/metrics"); code != http.StatusOK {
		t.Errorf("the scrape without a query has code %d", code)
	}
	close(release)
	codes.Wait()
}
