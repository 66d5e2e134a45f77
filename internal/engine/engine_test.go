// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/collector/schedlat"
	"github.com/kernscope/kernscope/collector/syscall"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

func config(t *testing.T, specs ...collector.Spec) engine.Config {
	return engine.Config{
		Specs:   specs,
		Buckets: metric.NewBuckets(metric.Microseconds),
		Machine: kerneltest.Open(t),
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// refused returns a collector whose program returns what it never set.
func refused() collector.Spec {
	s := schedlat.Spec()
	s.Name = "refused"
	load := s.Load
	s.Load = func() (*ebpf.CollectionSpec, error) {
		obj, err := load()
		if err == nil {
			for _, p := range obj.Programs {
				p.Instructions = asm.Instructions{asm.Mov.Reg(asm.R0, asm.R3), asm.Return()}
			}
		}
		return obj, err
	}
	return s
}

// TestFailedReadingIsTheCollectorsOwn checks that a source that cannot be read
// is no reason to stop, and that it shows, in metrics and state alike.
func TestFailedReadingIsTheCollectorsOwn(t *testing.T) {
	broken := schedlat.Spec()
	broken.Name = "broken"
	fails := true
	broken.Metrics = append(broken.Metrics, collector.Metric{Name: "from_source_total", Help: "x", Kind: collector.Counter})
	broken.Hooks = append(broken.Hooks, collector.Hook{Name: "source", Ways: []collector.Way{{Source: from("nowhere", func(context.Context) (map[string][]metric.Sample, error) {
		if fails {
			return nil, errors.New("nothing\nthere")
		}
		return map[string][]metric.Sample{"from_source_total": {{Value: 7}}}, nil
	})}}})
	e := engine.New(config(t, broken, syscall.Spec()))
	defer e.Close()
	if err := e.Check(); err != nil {
		t.Errorf("a reading that failed for want of the source forbids to go on: %v", err)
	}
	numbers := kerneltest.Read(t, e)
	if s := e.States()[0]; s.Status != engine.Failed || !strings.Contains(s.Reason, "nothing; there") {
		t.Errorf("state %+v", s)
	}
	if numbers.Value("kernscope_collector_success", "collector=broken") != 0 || numbers.Value("kernscope_collector_success", "collector=syscall") != 1 {
		t.Error("success does not show which collector failed")
	}
	fails = false
	numbers = kerneltest.Read(t, e)
	if s := e.States()[0]; s.Status != engine.Running || numbers.Value("from_source_total") != 7 {
		t.Errorf("state %+v after the source was back", s)
	}
}

// from returns a source of the counter from_source_total.
func from(where string, read collector.ReadFunc) *collector.Source {
	return &collector.Source{
		From:    where,
		Metrics: []string{"from_source_total"},
		Open:    func(context.Context) (collector.Reader, error) { return read, nil },
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// settled returns how many descriptors there are once that does not change any
// more: a slow machine closes some after [engine.Engine.Close] has given up
// waiting.
func settled(t *testing.T) int {
	t.Helper()
	n := descriptors(t)
	for same := 0; same < 50; same++ {
		time.Sleep(20 * time.Millisecond)
		if now := descriptors(t); now != n {
			n, same = now, 0
		}
	}
	return n
}

func TestOneFailureLeavesTheOthersAlone(t *testing.T) {
	missing := schedlat.Spec()
	missing.Name = "missing"
	load := missing.Load
	missing.Load = func() (*ebpf.CollectionSpec, error) {
		obj, err := load()
		if err == nil {
			for _, p := range obj.Programs {
				p.AttachTo = "no_such_tracepoint"
			}
		}
		return obj, err
	}
	mistaken := syscall.Spec()
	mistaken.Name = "mistaken"
	mistaken.Metrics = mistaken.Metrics[:1]
	mistaken.Metrics[0].Field = "no_such_member"

	e := engine.New(config(t, refused(), missing, mistaken, schedlat.Spec()))
	defer e.Close()
	states := e.States()
	for i, want := range []struct {
		status engine.Status
		reason string
	}{
		{engine.Failed, "verifier"},
		{engine.Unsupported, "no tracepoint no_such_tracepoint"},
		{engine.Failed, "struct syscall_calls has no member no_such_member"},
		{engine.Running, ""},
	} {
		if s := states[i]; s.Status != want.status || !strings.Contains(s.Reason, want.reason) || strings.Contains(s.Reason, "\n") {
			t.Errorf("%s is %s: %q; want %s with %q in one line", s.Collector, s.Status, s.Reason, want.status, want.reason)
		}
	}
	numbers := kerneltest.Read(t, e)
	for name, want := range map[string]float64{"refused": 0, "missing": 0, "mistaken": 0, "schedlat": 1} {
		if got := numbers.Value("kernscope_collector_success", "collector="+name); got != want {
			t.Errorf("success of %s is %v, want %v", name, got, want)
		}
	}
	if n, _ := numbers.Hist("ebpf_sched_runqueue_latency_microseconds"); n == 0 {
		t.Error("the collector that runs observed nothing")
	}
}

func TestOneLineSaysWhereACollectorIsAttached(t *testing.T) {
	cfg := config(t, builtin.Collectors()...)
	var log strings.Builder
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e := engine.New(cfg)
	defer e.Close()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	states := e.States()
	if len(lines) != len(states) {
		t.Fatalf("%d lines of %d collectors:\n%s", len(lines), len(states), log.String())
	}
	for i, s := range states {
		for _, h := range s.Hooks {
			if !strings.Contains(lines[i], "collector="+s.Collector) || !strings.Contains(lines[i], h.Name+" at "+h.Attach) {
				t.Errorf("%q does not say that %s is at %s", lines[i], h.Name, h.Attach)
			}
		}
	}
}

func TestAbsentHookIsNotServed(t *testing.T) {
	spec := schedlat.Spec()
	load, ways := spec.Load, spec.Hooks[0].Ways
	spec.Load = func() (*ebpf.CollectionSpec, error) {
		obj, err := load()
		if err == nil {
			obj.Programs[ways[0].Programs[0]].AttachTo = "no_such_tracepoint"
		}
		return obj, err
	}
	spec.Hooks = []collector.Hook{
		{Name: "context switch", Ways: ways[1:]},
		{Name: "newer", Ways: ways[:1], Optional: true},
	}
	cfg := config(t, spec)
	e := engine.New(cfg)
	defer e.Close()
	if s := e.States()[0]; s.Status != engine.Running || len(s.Hooks) != 1 {
		t.Fatalf("state %+v", s)
	}
	absent := e.States()[0].Absent
	if len(absent) != 1 || absent[0].Name != "newer" || !strings.Contains(absent[0].Rejected[0].Reason, "no_such_tracepoint") {
		t.Errorf("absent: %+v", absent)
	}
	for key := range kerneltest.Read(t, e) {
		if strings.HasPrefix(key, "kernscope_hook_info{") && strings.Contains(key, "hook=newer") {
			t.Errorf("%s is served", key)
		}
	}
}

func TestNothingIsHeldAfterClose(t *testing.T) {
	cfg := config(t, append(builtin.Collectors(), refused())...)
	// The first engine also opens what the libraries keep.
	engine.New(cfg).Close()
	before := settled(t)
	e := engine.New(cfg)
	if during := descriptors(t); during <= before {
		t.Fatalf("%d descriptors while attached, %d before: the test counts nothing", during, before)
	}
	e.Close()
	if after := settled(t); after != before {
		t.Errorf("%d descriptors after closing, %d before", after, before)
	}
}

func TestConcurrentReadingsAgree(t *testing.T) {
	e := kerneltest.Run(t, syscall.Spec())
	first := kerneltest.Read(t, e).Value("ebpf_syscalls_total", "syscall=bpf")
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			families, err := e.Families(t.Context(), nil)
			if err != nil || len(families) == 0 {
				t.Errorf("%d families, %v", len(families), err)
			}
		})
	}
	group.Wait()
	if last := kerneltest.Read(t, e).Value("ebpf_syscalls_total", "syscall=bpf"); last <= first {
		t.Errorf("bpf(2) was called %v times at the end, %v at the start", last, first)
	}
}

func TestFamiliesOfNamedCollectorsOnly(t *testing.T) {
	cfg := config(t, builtin.Collectors()...)
	e := engine.New(cfg)
	defer e.Close()
	families, err := e.Families(t.Context(), []string{"schedlat"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.Name, "ebpf_") && !strings.HasPrefix(f.Name, "ebpf_sched_") {
			t.Errorf("%s was not asked for", f.Name)
		}
	}
}
