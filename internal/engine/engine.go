// SPDX-License-Identifier: Apache-2.0

// Package engine turns collector specs into attached programs, and what the
// programs count into metric families. Collectors are isolated: each has its
// own object in the kernel, and one that cannot run leaves the others alone.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// Config is what an engine needs.
type Config struct {
	// Specs are the collectors to run.
	Specs []collector.Spec
	// Options are the collectors' options that are on, as "collector.option".
	Options map[string]bool
	// Layout of histograms, for the unit they are served in.
	Layout  *metric.Layout
	Machine *kernel.Machine
	// Pins, if set, is where collectors that an earlier process pinned are
	// adopted, and where [Engine.Pin] pins the others.
	Pins *Pins
	// Window, if set, is when [Engine.EndWindow] will be called: there is one
	// window for all ratios, from New to then, and not windows of their own.
	Window time.Duration
	Logger *slog.Logger
}

func (c *Config) on(collector, option string) bool { return c.Options[collector+"."+option] }

// Engine is a set of collectors at work.
type Engine struct {
	units   []*unit
	logger  *slog.Logger
	flights singleflight.Group
}

// New loads and attaches the collectors. It always returns an engine: what
// could not start is in the states, and was logged.
func New(cfg Config) *Engine {
	e := &Engine{logger: cfg.Logger}
	for _, spec := range cfg.Specs {
		// One after the other: decoding the kernel's types for several
		// objects at once crashed on Linux 7.3 (cilium/ebpf 0.22).
		e.units = append(e.units, start(spec, &cfg))
	}
	for _, s := range e.States() {
		logger := cfg.Logger.With("collector", s.Collector)
		if s.Status == Running && s.Adopted {
			logger.Debug("Adopted what an earlier process pinned")
			continue
		}
		if s.Status == Running {
			hooks := make([]string, len(s.Hooks))
			for i, h := range s.Hooks {
				hooks[i] = h.Name + " at " + h.Attach
			}
			logger.Info("Attached", "hooks", strings.Join(hooks, ", "))
			continue
		}
		logger.Warn("Collector does not run", "status", s.Status, "reason", s.Reason, "remedy", s.Remedy)
		if s.Detail != "" {
			logger.Debug("The verifier's log", "log", s.Detail)
		}
	}
	// The kernel's type information was only needed for loading.
	cfg.Machine.Release()
	debug.FreeOSMemory()
	return e
}

// EndWindow ends the ratios' window if it is one for all.
func (e *Engine) EndWindow(ctx context.Context) {
	for _, u := range e.units {
		for _, r := range u.ratios {
			u.endWindow(ctx, r)
		}
	}
}

// Close detaches all collectors that are not pinned.
func (e *Engine) Close() {
	for _, u := range e.units {
		u.close()
	}
}

// States says how every collector fares since it was last read, in the order of
// the specs.
func (e *Engine) States() []State {
	states := make([]State, len(e.units))
	for i, u := range e.units {
		states[i] = u.state()
	}
	return states
}

// Families reads the named collectors, all of them if there is no name.
// Concurrent calls for the same collector share one reading of its maps. If
// ctx ends first, the families read so far are not returned.
func (e *Engine) Families(ctx context.Context, names []string) ([]metric.Family, error) {
	var own ownMetrics
	var families []metric.Family
	for _, u := range e.units {
		if len(names) > 0 && !slices.Contains(names, u.spec.Name) {
			continue
		}
		shared := e.flights.DoChan(u.spec.Name, func() (any, error) { return u.read(context.WithoutCancel(ctx)), nil })
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case result := <-shared:
			read := result.Val.(*reading)
			families = append(families, read.families...)
			own.merge(read.own)
		}
	}
	return append(families, own.list...), nil
}

// Check reads every running collector once and says whether the kernel still
// permits it: the error is one of permission, or nil. What else goes wrong is a
// matter of the collector, and in its state.
func (e *Engine) Check() error {
	for _, u := range e.units {
		if read := u.read(context.Background()); errors.Is(read.err, unix.EPERM) {
			return read.err
		}
	}
	return nil
}
