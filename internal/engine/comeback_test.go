// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/engine/enginetest"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestSourceThatOpensLater cannot be opened at first, though it is there. Readings try again, also
// where nothing is followed, and the log says once that the collector does not run.
func TestSourceThatOpensLater(t *testing.T) {
	for name, fails := range map[string]func(attempt int32) (collector.Reader, error){
		"error":         func(int32) (collector.Reader, error) { return nil, unix.EIO },
		"other errors":  func(n int32) (collector.Reader, error) { return nil, errors.New(strings.Repeat("x", int(n))) },
		"not permitted": func(int32) (collector.Reader, error) { return nil, unix.EPERM },
		"panic":         func(int32) (collector.Reader, error) { panic("at the door") },
	} {
		t.Run(name, func(t *testing.T) {
			var opens atomic.Bool
			var attempts atomic.Int32
			cfg := config(t, opened("late", func(context.Context) (collector.Reader, error) {
				if attempts.Add(1); !opens.Load() {
					return fails(attempts.Load())
				}
				return collector.ReadFunc(answersSeven), nil
			}))
			log := logged(&cfg)
			e := engine.New(cfg)
			defer e.Close()
			if s := e.States()[0]; s.Status.Well() {
				t.Fatalf("state %+v", s)
			}
			until(t, "readings try again", func() bool {
				kerneltest.Read(t, e)
				return attempts.Load() >= 3
			})
			opens.Store(true)
			until(t, "the collector runs", func() bool { return kerneltest.Read(t, e).Value("kernscope_collector_success", "collector=late") == 1 })
			if n := kerneltest.Read(t, e).Value("from_source_total"); n != 7 {
				t.Errorf("read %v, want 7", n)
			}
			for message, want := range map[string]int{"Collector does not run": 1, "Attached": 1} {
				if n := log.count(message); n != want {
					t.Errorf("%d lines %q, want %d:\n%s", n, message, want, log.all())
				}
			}
			// One that is switched off stays so.
			if err := e.Stop(t.Context(), "late"); err != nil {
				t.Fatal(err)
			}
			kerneltest.Read(t, e)
			if s := e.States()[0]; s.Status != engine.Stopped {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// TestSourceThatGoes checks what becomes of a hook whose best way is a source, when that goes. The
// next way observes the hook from then on. If there is none, an optional hook is absent, and
// otherwise the collector waits for the source. Programs that could not be attached anew go on in
// any case.
func TestSourceThatGoes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		next     []string
		denied   bool // attaching, once the collector runs
		optional bool
		then     engine.Status
		attached string // where, after the source has gone
	}{
		{"next way", []string{"enginetest_exit"}, false, false, engine.Running, "raw_tp/sys_exit"},
		{"optional, next way", []string{"enginetest_exit"}, false, true, engine.Running, "raw_tp/sys_exit"},
		{"no way", nil, false, false, engine.Waiting, ""},
		{"next way fails", []string{"enginetest_unattachable"}, false, false, engine.Waiting, ""},
		{"optional, no way", nil, false, true, engine.Running, ""},
		{"optional, next way fails", []string{"enginetest_unattachable"}, false, true, engine.Running, ""},
		{"not permitted", []string{"enginetest_exit"}, true, false, engine.Failed, ""},
		{"optional, not permitted", nil, true, true, engine.Failed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var a appears
			a.there.Store(true)
			spec := enginetest.WithExits(tt.optional, tt.next...)
			spec.Metrics[2].Name = "from_source_total"
			spec.Hooks[1].Ways = append([]collector.Way{{Source: &collector.Source{
				From: "nowhere", Metrics: []string{"from_source_total"}, Open: a.open,
			}}}, spec.Hooks[1].Ways...)
			cfg := config(t, spec)
			var denied atomic.Bool
			cfg.Privileged = func(_ []string, f func() error) error {
				if denied.Load() {
					return unix.EPERM
				}
				return f()
			}
			e := counting(t, cfg)
			denied.Store(tt.denied)
			e.Follow()
			at := func() string {
				for _, hook := range e.States()[0].Hooks {
					if hook.Name == "exit" {
						return hook.Attach
					}
				}
				return ""
			}
			call(101, 0)
			expect(t, e, "before", 101, 0)
			if n := kerneltest.Read(t, e).Value("from_source_total"); n != 7 || at() != "nowhere" {
				t.Fatalf("read %v, state %+v", n, e.States()[0])
			}
			a.there.Store(false)
			kerneltest.Read(t, e)
			if s := e.States()[0]; s.Status != tt.then || s.Status == engine.Running && at() != tt.attached {
				t.Fatalf("state %+v", s)
			}
			if tt.then != engine.Running {
				a.there.Store(true)
				until(t, "the source is read again", func() bool { return kerneltest.Read(t, e).Value("from_source_total") == 7 })
			}
			call(11, 0)
			expect(t, e, "afterwards", 101+11, 0)
			if n := kerneltest.Read(t, e).Value("from_source_total"); (n > 0) != (tt.attached != "" || tt.then != engine.Running) {
				t.Errorf("read %v", n)
			}
		})
	}
}
