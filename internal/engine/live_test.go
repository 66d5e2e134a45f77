// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/engine/enginetest"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/label"
)

// TestLiveOptionOfACollectorThatIsStopped sets what the kernel keeps with the
// counts.
func TestLiveOptionOfACollectorThatIsStopped(t *testing.T) {
	e := counting(t, config(t, enginetest.Spec()))
	call(101, 0)
	if err := e.Stop(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	if err := e.Set(t.Context(), "enginetest", "least", 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	call(11, 0)
	expect(t, e, "set while it was stopped", 101, 11)
}

// small returns the test's collector with a live option whose variable has 32
// bits.
func small() collector.Spec {
	spec := enginetest.Spec()
	load := spec.Load
	spec.Load = func() (*ebpf.CollectionSpec, error) {
		obj, err := load()
		if err == nil {
			v := obj.Variables["enginetest_least"]
			v.Value = v.Value[:4]
		}
		return obj, err
	}
	return spec
}

// TestLiveValueThatDoesNotFit sets a live option to what its variable cannot hold,
// while the collector runs and while it is stopped. The value before stays: the
// collector is attached with it anew.
func TestLiveValueThatDoesNotFit(t *testing.T) {
	e := counting(t, config(t, small()))
	refuse := func() {
		t.Helper()
		err := e.Set(t.Context(), "enginetest", "least", 5*time.Second)
		if err == nil || !strings.Contains(err.Error(), "setting least of enginetest") || !strings.Contains(err.Error(), "does not fit") {
			t.Errorf("error %v", err)
		}
	}
	if err := e.Set(t.Context(), "enginetest", "least", time.Second); err != nil {
		t.Fatal(err)
	}
	refuse()
	call(101, 2*time.Second)
	call(11, 0)
	expect(t, e, "after a mistake", 101, 11)
	if err := e.Set(t.Context(), "enginetest", "process", os.Getpid()); err != nil {
		t.Fatal(err)
	}
	call(13, 2*time.Second)
	call(17, 0)
	expect(t, e, "attached anew", 101+13, 11+17)
	if err := e.Stop(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	refuse()
	if err := e.Start(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	call(19, 2*time.Second)
	call(23, 0)
	expect(t, e, "started again", 101+13+19, 11+17+23)
}

// TestLiveOptionOfWhatIsPinned leaves a collector with another value than the
// next process asks for.
func TestLiveOptionOfWhatIsPinned(t *testing.T) {
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	start := func(least time.Duration) engine.Config {
		cfg := pinned(t, dir, enginetest.Spec())
		cfg.Options = map[string]collector.Value{"enginetest.process": os.Getpid(), "enginetest.least": least}
		return cfg
	}
	leave(t, start(0), func(e *engine.Engine) {
		if err := e.Set(t.Context(), "enginetest", "least", 5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		call(11, 0)
		expect(t, e, "5ms", 0, 11)
	})
	leave(t, start(0), func(e *engine.Engine) {
		call(101, 0)
		expect(t, e, "the default again", 101, 11)
	})
	e := engine.New(start(time.Second))
	defer e.Close()
	if len(adopted(e)) != 1 {
		t.Error("not adopted for the value of a live option")
	}
	call(13, 0)
	expect(t, e, "another from the start", 101, 11+13)
	if err := e.Stop(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
}

// TestLiveOptionWithoutPrograms runs a collector by a source alone, where no
// program has the option's variable.
func TestLiveOptionWithoutPrograms(t *testing.T) {
	spec := enginetest.Spec()
	src := from("nowhere", answersSeven)
	src.Metrics = []string{enginetest.Calls, enginetest.Latest}
	spec.Hooks[0].Ways = []collector.Way{{Source: src}}
	e := engine.New(config(t, spec))
	defer e.Close()
	if s := e.States()[0]; s.Status != engine.Running {
		t.Fatalf("state %+v", s)
	}
	if err := e.Set(t.Context(), "enginetest", "least", time.Second); err != nil {
		t.Error(err)
	}
}

// TestRefusedOptionIsPutBack switches on what cannot be attached here. Nothing tries
// that again when the collector is attached anew.
func TestRefusedOptionIsPutBack(t *testing.T) {
	spec := enginetest.WithExits(false, "enginetest_unattachable")
	spec.Options = append(spec.Options, collector.Option{Name: "exits", Help: "Exits, too."})
	spec.Hooks[1].When = "exits"
	spec.Metrics[2].When = "exits"
	cfg := config(t, spec)
	log := logged(&cfg)
	e := counting(t, cfg)
	if err := e.Set(t.Context(), "enginetest", "exits", true); err == nil {
		t.Error("no error of an option that does not work")
	}
	if err := e.Set(t.Context(), "enginetest", "process", os.Getpid()); err != nil {
		t.Error(err)
	}
	call(101, 0)
	expect(t, e, "without the option", 101, 0)
	if n := log.count("Option does not work here"); n != 1 || len(e.States()[0].Absent) != 0 {
		t.Errorf("the option was tried %d times, state %+v", n, e.States()[0])
	}
}

// TestDefaultThatDoesNotWork checks that a collector runs without an option
// that is on unless it is set, and that cannot work here.
func TestDefaultThatDoesNotWork(t *testing.T) {
	spec := enginetest.WithExits(false, "enginetest_unattachable")
	spec.Options = append(spec.Options, collector.Option{Name: "exits", Help: "Exits, too.", Default: true})
	spec.Hooks[1].When = "exits"
	spec.Metrics[2].When = "exits"
	e := counting(t, config(t, spec))
	call(101, 0)
	expect(t, e, "without the option", 101, 0)
}

// TestMapThatCannotBePrepared checks that no way of a hook goes on with a map
// that lacks its overflow rows. The map is an array, which has no room for
// them.
func TestMapThatCannotBePrepared(t *testing.T) {
	spec := enginetest.Spec()
	spec.Tables = []collector.Table{{Map: "enginetest_counts", Overflow: new(collector.Overflow)}}
	e := engine.New(config(t, spec))
	defer e.Close()
	if s := e.States()[0]; s.Status != engine.Failed || !strings.Contains(s.Reason, "reserving an overflow row") {
		t.Errorf("state %+v", s)
	}
}

// TestPanicIsALine checks that the reason of a decoder that panics is the same
// at every reading, since it is a label, and has no stack.
func TestPanicIsALine(t *testing.T) {
	spec := enginetest.Spec()
	spec.Tables = []collector.Table{{Map: "enginetest_counts", Labels: []collector.Label{{
		Name: "x", As: func() label.Decoder { return decoder(func() { panic("at the label") }) },
	}}}}
	e := counting(t, config(t, spec))
	call(1, 0)
	for range 2 {
		kerneltest.Read(t, e)
		if s := e.States()[0]; s.Status != engine.Failed || s.Reason != "reading: panic: at the label" {
			t.Errorf("state %+v", s)
		}
	}
}

// TestPanicWhileReadingIsPrepared leaves nothing attached and no source open.
func TestPanicWhileReadingIsPrepared(t *testing.T) {
	closed := 0
	spec := enginetest.Spec()
	src := from("nowhere", answersSeven)
	src.Open = func(context.Context) (collector.Reader, error) {
		return reader{answersSeven, func() error { closed++; return nil }}, nil
	}
	spec.Metrics = append(spec.Metrics, collector.Metric{Name: "from_source_total", Help: "x", Kind: collector.Counter})
	spec.Hooks = append(spec.Hooks, collector.Hook{Name: "source", Ways: []collector.Way{{Source: src}}})
	spec.Tables = []collector.Table{{Map: "enginetest_counts", Labels: []collector.Label{{
		Name: "x", As: func() label.Decoder { panic("at the decoder") },
	}}}}
	e := engine.New(config(t, spec))
	defer e.Close()
	if s := e.States()[0]; s.Status != engine.Failed || !strings.Contains(s.Reason, "at the decoder") {
		t.Errorf("state %+v", s)
	}
	if closed != 1 {
		t.Errorf("the source was closed %d times", closed)
	}
}
