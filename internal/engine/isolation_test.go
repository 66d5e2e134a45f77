// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/schedlat"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/engine/enginetest"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/label"
	"github.com/kernscope/kernscope/internal/metric"
)

// withSource returns the test's collector with a source that is read so.
func withSource(read collector.ReadFunc) collector.Spec {
	s := enginetest.Spec()
	s.Metrics = append(s.Metrics, collector.Metric{Name: "from_source_total", Help: "x", Kind: collector.Counter})
	s.Hooks = append(s.Hooks, collector.Hook{Name: "source", Ways: []collector.Way{{Source: from("nowhere", read)}}})
	return s
}

var seven = map[string][]metric.Sample{"from_source_total": {{Value: 7}}}

// TestReadingFails checks that a source which does everything wrong, one after
// the other, costs its own metrics only. Each mistake is logged once as it
// begins and once as it ends, and the source is read again.
func TestReadingFails(t *testing.T) {
	for status, bad := range map[engine.Status]collector.ReadFunc{
		engine.Failed: func(context.Context) (map[string][]metric.Sample, error) { panic("at the source") },
		engine.Denied: func(context.Context) (map[string][]metric.Sample, error) { return nil, unix.EPERM },
	} {
		t.Run(string(status), func(t *testing.T) {
			var fails atomic.Bool
			cfg := config(t, withSource(func(ctx context.Context) (map[string][]metric.Sample, error) {
				if fails.Load() {
					return bad(ctx)
				}
				return seven, nil
			}))
			log := logged(&cfg)
			e := counting(t, cfg)
			check := func(want engine.Status, source float64) {
				t.Helper()
				for range 3 {
					call(1, 0)
					numbers := kerneltest.Read(t, e)
					if numbers.Value(enginetest.Calls) == 0 || numbers.Value("from_source_total") != source {
						t.Errorf("%v calls, %v from the source, want %v", numbers.Value(enginetest.Calls), numbers.Value("from_source_total"), source)
					}
				}
				if s := e.States()[0]; s.Status != want || strings.Contains(s.Reason, "goroutine") {
					t.Errorf("state %+v, want %s, and a reason that stays the same", s, want)
				}
				if err := e.Check(); err != nil {
					t.Errorf("the source is taken for a map that cannot be read: %v", err)
				}
			}
			check(engine.Running, 7)
			fails.Store(true)
			check(status, 0)
			fails.Store(false)
			check(engine.Running, 7)
			for _, line := range []string{"Reading fails", "Reading works again"} {
				if n := log.count(line); n != 1 {
					t.Errorf("%d lines %q:\n%s", n, line, log.all())
				}
			}
		})
	}
}

// TestReadingHangs checks that a source and a label decoder that do not return
// cost only what is theirs. The others are served, and all ends.
func TestReadingHangs(t *testing.T) {
	for name, hang := range map[string]func(wait func()) collector.Spec{
		"source": func(wait func()) collector.Spec {
			return withSource(func(context.Context) (map[string][]metric.Sample, error) {
				wait() // whatever the context says
				return seven, nil
			})
		},
		"decoder": func(wait func()) collector.Spec {
			s := withSource(func(context.Context) (map[string][]metric.Sample, error) { return seven, nil })
			s.Tables = []collector.Table{{Map: "enginetest_counts", Labels: []collector.Label{{
				Name: "waits", As: func() label.Decoder { return decoder(wait) },
			}}}}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			var hangs atomic.Bool
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			spec := hang(func() {
				if hangs.Load() {
					<-release
				}
			})
			cfg := config(t, spec, schedlat.Spec())
			log := logged(&cfg)
			e := counting(t, cfg)
			call(1, 0)
			kerneltest.Read(t, e)
			hangs.Store(true)
			call(1, 0)
			for range 2 {
				numbers := kerneltest.Read(t, e)
				if numbers.Value("kernscope_collector_success", "collector=schedlat") != 1 ||
					numbers.Value("kernscope_collector_success", "collector=enginetest") != 0 {
					t.Error("it does not show which collector hangs")
				}
				if _, served := numbers["from_source_total{}"]; served {
					t.Error("metrics are served that were not read")
				}
				if n, _ := numbers.Hist("ebpf_sched_runqueue_latency_microseconds"); n == 0 {
					t.Error("the collector beside is not served")
				}
				if _, served := numbers[enginetest.Calls+"{}"]; served != (name == "source") {
					t.Errorf("the hanging collector's tables are served: %v", served)
				}
			}
			if s := e.States()[0]; s.Status != engine.Failed || !strings.Contains(s.Reason, "has not ended") {
				t.Errorf("state %+v", s)
			}
			if n := log.count("Reading fails"); n != 1 {
				t.Errorf("%d lines say that it fails:\n%s", n, log.all())
			}
			if name == "decoder" { // which keeps its collector locked
				soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				for what, err := range map[string]error{
					"stop": e.Stop(soon, "enginetest"), "start": e.Start(soon, "enginetest"), "set": e.Set(soon, "enginetest", "process", 1),
				} {
					if err == nil || !strings.Contains(err.Error(), "enginetest is being read") {
						t.Errorf("%s: error %v", what, err)
					}
				}
				cancel()
			}
			begin := time.Now()
			e.Close()
			// Generous: it does not wait at all for what hangs for ever.
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("closing took %v", took)
			}
		})
	}
}

// decoder waits before it decodes.
type decoder func()

func (d decoder) Label([]byte) string {
	d()
	return "x"
}

// TestHangThatEnds goes on when the source answers.
func TestHangThatEnds(t *testing.T) {
	var hangs atomic.Bool
	release := make(chan struct{})
	e := counting(t, config(t, withSource(func(context.Context) (map[string][]metric.Sample, error) {
		if hangs.Load() {
			<-release
		}
		return seven, nil
	})))
	hangs.Store(true)
	kerneltest.Read(t, e)
	if s := e.States()[0]; s.Status != engine.Failed {
		t.Errorf("state %+v", s)
	}
	hangs.Store(false)
	close(release)
	for deadline := time.Now().Add(time.Minute); e.States()[0].Status != engine.Running; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("state %+v", e.States()[0])
		}
		kerneltest.Read(t, e)
	}
	if n := kerneltest.Read(t, e).Value("from_source_total"); n != 7 {
		t.Errorf("read %v, want 7", n)
	}
}
