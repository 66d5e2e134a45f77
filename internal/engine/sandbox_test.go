// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
	"github.com/kernscope/kernscope/internal/sandbox"
)

// confinedVariable has the directory of pins of a process that runs [attachAnew].
const confinedVariable = "KERNSCOPE_ENGINE_CONFINED"

// attachAnew pins all collectors, enters the sandbox, and there stops, starts,
// sets and reads each: it loads and attaches all programs anew, and pins them.
func attachAnew(pins string) error {
	machine, err := kernel.Open("")
	if err != nil {
		return err
	}
	cfg := engine.Config{
		Specs: builtin.Collectors(), Buckets: metric.NewBuckets(metric.Microseconds), Machine: machine,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if cfg.Pins, err = attach.OpenPins(pins); err != nil {
		return err
	}
	e := engine.New(cfg)
	defer e.Close()
	if err := e.Pin(); err != nil {
		return err
	}
	sandbox.Enter(sandbox.Plan{Change: []string{pins}})
	ctx := context.Background()
	for i, s := range cfg.Specs {
		before := e.States()[i]
		if err := e.Stop(ctx, s.Name); err != nil {
			return fmt.Errorf("stopping %s: %w", s.Name, err)
		}
		if err := e.Start(ctx, s.Name); err != nil {
			return fmt.Errorf("starting %s: %w", s.Name, err)
		}
		if now := e.States()[i]; now.Status != before.Status {
			return fmt.Errorf("%s was %s, and is %s in the sandbox: %s", s.Name, before.Status, now.Status, now.Reason)
		}
		for _, o := range s.Options {
			if err := e.Set(ctx, s.Name, o.Name, o.Zero()); err != nil {
				return fmt.Errorf("setting %s.%s: %w", s.Name, o.Name, err)
			}
		}
	}
	if _, err := e.Families(ctx, nil); err != nil {
		return err
	}
	for _, state := range e.States() {
		if state.Status == engine.Failed {
			return fmt.Errorf("%s: %s", state.Collector, state.Reason)
		}
	}
	return nil
}

// TestAttachAnewInTheSandbox does what a collector does whose module was loaded
// anew, or whose option was changed.
func TestAttachAnewInTheSandbox(t *testing.T) {
	kerneltest.Open(t)
	pins := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), confinedVariable+"="+pins)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e := engine.New(pinned(t, pins, builtin.Collectors()...))
	defer e.Close()
	if got := adopted(e); len(got) < len(builtin.Collectors())-1 { // memory cannot be pinned before Linux 5.15
		t.Errorf("adopted %v of what was pinned in the sandbox", got)
	}
}
