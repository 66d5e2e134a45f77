// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kernscope/kernscope/internal/metric"
)

// waits returns how many requests wait for pages.
func (p *press) waits() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rendering {
		n += r.requests
	}
	return n
}

// ask asks for a path, and returns where the code of the answer comes.
func (i *instance) ask(path string) <-chan int {
	answered := make(chan int, 1)
	go func() {
		code, _, _ := i.page(path)
		answered <- code
	}()
	return answered
}

// gate holds readings of the source until it is opened.
type gate struct {
	entered chan context.Context
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan context.Context, 100), make(chan struct{})} }

func (g *gate) families(ctx context.Context, names []string) ([]metric.Family, error) {
	g.entered <- ctx
	select {
	case <-g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return source(ctx, names)
}

// TestForms has requests at once that ask for different things, each twice: what looks the same is
// rendered once, and nobody gets what another asked for.
func TestForms(t *testing.T) {
	g := newGate()
	i := start(t, func(cfg *Config) { cfg.Families = g.families })
	const protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	forms := []struct {
		path   string
		header []string
		says   []string
	}{
		{"/metrics", nil, []string{"ebpf_diskio_total 23\n"}},
		{"/metrics?collect[]=diskio", nil, []string{"ebpf_diskio_total 23\n"}},
		{"/metrics?collect[]=syscall", nil, []string{"ebpf_syscall_total 23\n"}},
		{"/metrics?name[]=ebpf_syscall_total", nil, []string{"ebpf_syscall_total 23\n"}},
		{"/metrics", []string{"Accept", "application/openmetrics-text; version=1.0.0"}, []string{"ebpf_diskio_total 23.0\n"}},
		{"/metrics", []string{"Accept", protobuf}, []string{"\n\x11ebpf_diskio_total\x12"}},
		{"/metrics", []string{"Accept-Encoding", "gzip"}, []string{"\x1f\x8b"}},
		{"/distributions", nil, []string{"<!doctype html>"}},
	}
	type answer struct {
		code int
		body string
	}
	answers := make([]chan answer, len(forms))
	for n, f := range forms {
		answers[n] = make(chan answer, 2)
		for range 2 {
			go func() {
				code, body, _ := i.page(f.path, f.header...)
				answers[n] <- answer{code, body}
			}()
		}
	}
	eventually(t, "all requests to wait", func() bool { return i.press.waits() == 2*len(forms) })
	close(g.open)
	for n, f := range forms {
		for range 2 {
			a := receive(t, "an answer", answers[n])
			if a.code != http.StatusOK {
				t.Errorf("%s %q has code %d", f.path, f.header, a.code)
			}
			contains(t, a.body, f.says...)
		}
	}
	if n := len(g.entered); n != len(forms) {
		t.Errorf("the source was read %d times for %d forms", n, len(forms))
	}
}

// TestFirstClientLeaves has a client go away whose page another waits for.
func TestFirstClientLeaves(t *testing.T) {
	g := newGate()
	i := start(t, func(cfg *Config) {
		cfg.Families = g.families
		cfg.MaxRequests = 1
	})
	first := i.dial("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	ctx := receive(t, "the reading", g.entered)
	answered := i.ask("/metrics")
	eventually(t, "the second client to wait", func() bool { return i.press.waits() == 2 })
	first.Close()
	for range 10 { // the server has had the time to see that the first client is gone
		i.page("/-/healthy")
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("the reading that a client waits for ends: %v", err)
	}
	close(g.open)
	if code := receive(t, "an answer", answered); code != http.StatusOK {
		t.Errorf("code %d", code)
	}
}

// TestRenderingPanics ends the requests that wait for a page, and is loud. The next one is served.
func TestRenderingPanics(t *testing.T) {
	g := newGate()
	bad := true
	i := start(t, func(cfg *Config) {
		cfg.Families = func(ctx context.Context, names []string) ([]metric.Family, error) {
			if !bad {
				return source(ctx, names)
			}
			g.entered <- ctx
			<-g.open
			panic("in a collector")
		}
	})
	i.dial("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	receive(t, "the reading", g.entered)
	answered := i.ask("/metrics")
	eventually(t, "the second client to wait", func() bool { return i.press.waits() == 2 })
	close(g.open)
	if code := receive(t, "an answer", answered); code != http.StatusInternalServerError {
		t.Errorf("code %d", code)
	}
	bad = false
	if code, _, _ := i.page("/metrics"); code != http.StatusOK {
		t.Errorf("code %d afterwards", code)
	}
	eventually(t, "an error in the log", func() bool { return strings.Contains(i.logs.String(), "in a collector") })
	contains(t, i.logs.String(), "level=ERROR")
}

// heavy is a metric of the process that takes long to gather, and knows how many gather it at once.
type heavy struct {
	most, now atomic.Int32
	next      chan struct{}
}

func (h *heavy) Describe(descs chan<- *prometheus.Desc) {}

func (h *heavy) Collect(metrics chan<- prometheus.Metric) {
	now := h.now.Add(1)
	for most := h.most.Load(); now > most && !h.most.CompareAndSwap(most, now); most = h.most.Load() {
	}
	<-h.next
	h.now.Add(-1)
}

// TestPagesAreWrittenInTurn asks for many forms at once, each of a family that there is not: few are
// written at the same time, and all are answered.
func TestPagesAreWrittenInTurn(t *testing.T) {
	const forms = 10 * mostPens
	h := &heavy{next: make(chan struct{})}
	i := start(t, func(cfg *Config) {
		cfg.MaxRequests = 2 * forms
		cfg.SelfMetrics = prometheus.NewRegistry()
		cfg.SelfMetrics.MustRegister(h)
	})
	var answers []<-chan int
	for n := range forms {
		answers = append(answers, i.ask(fmt.Sprintf("/metrics?name[]=x%d", n)))
	}
	eventually(t, "all requests to wait", func() bool { return i.press.waits() == forms })
	for range forms {
		h.next <- struct{}{}
	}
	for _, answered := range answers {
		if code := receive(t, "an answer", answered); code != http.StatusOK {
			t.Errorf("code %d", code)
		}
	}
	if most := h.most.Load(); most > mostPens {
		t.Errorf("%d pages were written at once, the limit is %d", most, mostPens)
	}
}
