// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

// reader is a source's that a test makes of functions.
type reader struct {
	read  collector.ReadFunc
	close func() error
}

func (r reader) Read(ctx context.Context) (map[string][]metric.Sample, error) { return r.read(ctx) }

func (r reader) Close() error { return r.close() }

// opened returns a collector of nothing but a source that is opened so.
func opened(name string, open func(context.Context) (collector.Reader, error)) collector.Spec {
	return collector.Spec{
		Name: name, Help: "x",
		Options: []collector.Option{{Name: "number", Help: "x", Default: 0}},
		Hooks: []collector.Hook{{Name: "source", Ways: []collector.Way{{Source: &collector.Source{
			From: "nowhere", Metrics: []string{"from_source_total"}, Open: open,
		}}}}},
		Metrics: []collector.Metric{{Name: "from_source_total", Help: "x", Kind: collector.Counter}},
	}
}

func answersSeven(context.Context) (map[string][]metric.Sample, error) { return seven, nil }

// TestClosingFails checks that sources which panic or hang as they are closed
// end neither the process nor what waits for it.
func TestClosingFails(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for name, closing := range map[string]func() error{
		"panic": func() error { panic("at the end") },
		"hang":  func() error { <-release; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			e := engine.New(config(t, opened("closes", func(context.Context) (collector.Reader, error) {
				return reader{answersSeven, closing}, nil
			})))
			defer e.Close()
			if err := e.Stop(t.Context(), "closes"); err != nil {
				t.Fatal(err)
			}
			if err := e.Start(t.Context(), "closes"); err != nil {
				t.Fatal(err)
			}
			if n := kerneltest.Read(t, e).Value("from_source_total"); n != 7 {
				t.Errorf("read %v, want 7", n)
			}
		})
	}
}

// TestCallsOfAReaderDoNotOverlap stops a collector whose reading hangs.
func TestCallsOfAReaderDoNotOverlap(t *testing.T) {
	var reading atomic.Bool
	release, closed := make(chan struct{}), make(chan bool, 1)
	e := engine.New(config(t, opened("hangs", func(context.Context) (collector.Reader, error) {
		return reader{func(context.Context) (map[string][]metric.Sample, error) {
			reading.Store(true)
			<-release
			reading.Store(false)
			return seven, nil
		}, func() error {
			closed <- reading.Load()
			return nil
		}}, nil
	})))
	defer e.Close()
	kerneltest.Read(t, e)
	if err := e.Stop(t.Context(), "hangs"); err != nil {
		t.Fatal(err)
	}
	close(release)
	if <-closed {
		t.Error("the reader was closed while it read")
	}
}

// TestWaitsHoweverItCameTo checks that a collector waits for a file that is not
// there as the collector is started again, or set, and runs when the file
// comes.
func TestWaitsHoweverItCameTo(t *testing.T) {
	for name, begin := range map[string]func(*engine.Engine, *appears) error{
		"stopped and started": func(e *engine.Engine, a *appears) error {
			if err := e.Stop(t.Context(), "waiter"); err != nil {
				return err
			}
			a.there.Store(false)
			return e.Start(t.Context(), "waiter")
		},
		"set": func(e *engine.Engine, a *appears) error {
			a.there.Store(false)
			if err := e.Set(t.Context(), "waiter", "number", 1); err == nil {
				t.Error("no error of an option that cannot be tried")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var a appears
			a.there.Store(true)
			e := engine.New(config(t, opened("waiter", a.open)))
			defer e.Close()
			e.Follow()
			if err := begin(e, &a); err != nil {
				t.Fatal(err)
			}
			becomes(t, e, engine.Waiting)
			a.there.Store(true)
			becomes(t, e, engine.Running)
		})
	}
}

// TestSourceThatIsBroken cannot be opened, though it is there: the machine lacks
// nothing.
func TestSourceThatIsBroken(t *testing.T) {
	for name, open := range map[string]func(context.Context) (collector.Reader, error){
		"input/output error": func(context.Context) (collector.Reader, error) { return nil, unix.EIO },
		"not permitted":      func(context.Context) (collector.Reader, error) { return nil, unix.EPERM },
		"panic: at the door": func(context.Context) (collector.Reader, error) { panic("at the door") },
		"no reader":          func(context.Context) (collector.Reader, error) { return nil, nil },
		"has not ended":      func(ctx context.Context) (collector.Reader, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			e := engine.New(config(t, opened("broken", open)))
			defer e.Close()
			s := e.States()[0]
			want := engine.Failed
			if name == "not permitted" {
				want = engine.Denied
			}
			if s.Status != want || len(s.Reason) > 200 {
				t.Errorf("state %+v", s)
			}
			if name != "has not ended" && !strings.Contains(s.Reason, name) {
				t.Errorf("reason %q, want %q", s.Reason, name)
			}
		})
	}
}

// TestReadsAreRaised checks that a source has the capabilities that it takes to
// be opened, and those that it takes at every read. They are those of a thread.
func TestReadsAreRaised(t *testing.T) {
	var mu sync.Mutex
	raised := make(map[string]int)
	spec := opened("holder", func(context.Context) (collector.Reader, error) { return collector.ReadFunc(answersSeven), nil })
	spec.Needs = []collector.Need{
		{Why: "x", Capabilities: []string{"CAP_SYS_ADMIN"}},
		{Why: "y", Capabilities: []string{"CAP_NET_ADMIN"}, Held: true},
	}
	cfg := config(t, spec)
	cfg.Privileged = func(capabilities []string, f func() error) error {
		mu.Lock()
		raised[strings.Join(capabilities, " ")]++
		mu.Unlock()
		return f()
	}
	e := engine.New(cfg)
	defer e.Close()
	const start, read = "CAP_BPF CAP_PERFMON CAP_SYS_ADMIN CAP_NET_ADMIN", "CAP_NET_ADMIN"
	if raised[start] != 2 { // the thread that attaches, and the one that opens
		t.Errorf("raised %v", raised)
	}
	for range 3 {
		kerneltest.Read(t, e)
	}
	if raised[read] != 3 {
		t.Errorf("raised %v at three reads", raised)
	}
}

// TestHistogramOfASource serves durations that a source knows in nanoseconds.
func TestHistogramOfASource(t *testing.T) {
	slots := make([]uint64, metric.HistSlots)
	slots[0] = 7
	spec := opened("hist", func(context.Context) (collector.Reader, error) {
		return collector.ReadFunc(func(context.Context) (map[string][]metric.Sample, error) {
			return map[string][]metric.Sample{"from_source_total": {{Hist: &metric.Hist{Slots: slots, Sum: 3000}}}}, nil
		}), nil
	})
	spec.Metrics[0].Kind = collector.Histogram
	e := engine.New(config(t, spec))
	defer e.Close()
	families, err := e.Families(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered, err := metric.Families(families).Gather()
	if err != nil {
		t.Fatal(err)
	}
	if h := gathered[slices.IndexFunc(gathered, func(f *dto.MetricFamily) bool { return f.GetName() == "from_source_microseconds_total" })].Metric[0].Histogram; h.GetSampleCount() != 7 || h.GetSampleSum() != 3 {
		t.Errorf("histogram %v", h)
	}
}
