// SPDX-License-Identifier: Apache-2.0

// Package engine keeps collectors at work: it starts and stops each by itself,
// follows modules that come and go, and reads what the programs count into
// metric families. Collectors are isolated: each has its own object in the
// kernel, and one that cannot run, hangs or panics leaves the others alone.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// Config is what an engine needs.
type Config struct {
	// Specs are the collectors to run.
	Specs []collector.Spec
	// Options are what the collectors' options are set to, as
	// "collector.option"; those that are missing have their defaults.
	Options map[string]collector.Value
	// Buckets of histograms, for the unit they are served in.
	Buckets *metric.Buckets
	Machine *kernel.Machine
	// Pins, if set, is where collectors that an earlier process pinned are
	// adopted, and where [Engine.Pin] pins the others.
	Pins *attach.Pins
	// Window, if set, is when [Engine.EndWindow] will be called: there is one
	// window for all ratios, from New to then, and not windows of their own.
	Window time.Duration
	// Privileged runs f with the capabilities raised; nil means that they
	// always are. An engine attaches within it.
	Privileged func(capabilities []string, f func() error) error
	Logger     *slog.Logger
}

// Engine is a set of collectors at work.
type Engine struct {
	units []*unit
	ctx   context.Context // ends with the engine
	stop  context.CancelFunc
	env   *environment
	// witness is a map that stands for those of collectors that wait; nil if
	// none does.
	witness *ebpf.Map
}

// environment is what the collectors of an engine share.
type environment struct {
	Config
	// starting is locked while a collector is attached: decoding the kernel's
	// types for several objects at once crashed on Linux 7.3 (cilium/ebpf 0.22).
	starting sync.Mutex
}

// New loads and attaches the collectors. It always returns an engine: what
// could not start is in the states, and was logged.
func New(cfg Config) *Engine { return NewUntil(context.Background(), cfg) }

// NewUntil is [New] that begins nothing more once ctx has ended, and waits for no
// source: the engine is then good for nothing but to be closed.
func NewUntil(ctx context.Context, cfg Config) *Engine {
	e := &Engine{env: &environment{Config: cfg}}
	e.ctx, e.stop = context.WithCancel(context.Background())
	for _, spec := range cfg.Specs {
		u := newUnit(spec, e.env)
		e.units = append(e.units, u)
		if ctx.Err() != nil {
			continue
		}
		_ = u.start(ctx) // nobody else has it
		if spec.Load != nil && e.witness == nil && u.status.get().Status == Waiting {
			// Where maps cannot be created, no collector will run.
			e.witness, _ = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
		}
	}
	e.env.shed()
	return e
}

// Follow begins to follow the modules and files that collectors wait for or may
// lose, until [Engine.Close]. Capabilities are given up before, as that stops
// what is being attached meanwhile.
func (e *Engine) Follow() {
	for _, u := range e.units {
		u.follow(e.ctx)
	}
}

// shed frees what only attaching needed: the kernel's type information.
func (e *environment) shed() {
	e.Machine.Release()
	debug.FreeOSMemory()
}

// closePatience is how long Close waits for a reading to end.
const closePatience = 300 * time.Millisecond

// Close detaches all collectors that are not pinned. It does not wait for a
// collector whose reading hangs: that one ends with the process.
func (e *Engine) Close() {
	e.stop()
	e.witness.Close()
	closed := make(chan struct{}, len(e.units))
	for _, u := range e.units {
		go func() {
			u.guard("closing", u.close)
			closed <- struct{}{}
		}()
	}
	patience := time.After(closePatience)
	for range e.units {
		select {
		case <-closed:
		case <-patience:
			return
		}
	}
}

// States returns how every collector fares since it was last read, in the order
// of the specs.
func (e *Engine) States() []State {
	states := make([]State, len(e.units))
	for i, u := range e.units {
		states[i] = u.status.get()
	}
	return states
}

// Families reads the named collectors, all of them if there is no name.
// Concurrent calls for the same collector share one reading of its maps. A
// collector that takes too long is served without its metrics, and fails. If
// ctx ends first, the families read so far are not returned.
func (e *Engine) Families(ctx context.Context, names []string) ([]metric.Family, error) {
	var asked []*unit
	for _, u := range e.units {
		if len(names) == 0 || slices.Contains(names, u.spec.Name) {
			u.flight.join(u.read)
			asked = append(asked, u)
		}
	}
	var self selfMetrics
	var families []metric.Family
	for _, u := range asked {
		read, err := u.flight.wait(ctx)
		if err != nil {
			return nil, err
		}
		if read == nil {
			read = u.overdue()
		}
		families = append(families, read.families...)
		self.merge(read.self)
	}
	return append(families, self.list...), nil
}

// Check looks at the maps of every running collector, and says whether the
// kernel still permits it, and will to collectors that wait: the error is one of
// permission, or nil. What else goes wrong is a matter of the collector, and in
// its state.
func (e *Engine) Check() error {
	if e.witness != nil {
		if _, err := e.witness.LookupBytes(uint32(0)); errors.Is(err, unix.EPERM) {
			return err
		}
	}
	for _, u := range e.units {
		if err := u.permitted(); errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return nil
}

// EndWindow ends the ratios' window if it is one for all.
func (e *Engine) EndWindow() {
	for _, u := range e.units {
		u.endWindows()
	}
}

// Pin leaves the running collectors in the configured directory of pins, so
// that they go on counting after [Engine.Close], and removes from there what
// they did not adopt. A collector that cannot be pinned runs on without; that
// is logged.
func (e *Engine) Pin() error {
	for _, u := range e.units {
		if err := u.pin(); err != nil {
			return fmt.Errorf("%s: %w", u.spec.Name, err)
		}
	}
	return nil
}

// Unpin takes back what [Engine.Pin] did, for a start that fails: nothing stays
// in the kernel that an earlier process did not leave there.
func (e *Engine) Unpin() error {
	var errs []error
	for _, u := range e.units {
		if err := u.unpin(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.spec.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Start starts a collector that was stopped. Like [Engine.Stop] and [Engine.Set]
// it waits, until ctx ends, for a reading of the collector that is under way.
func (e *Engine) Start(ctx context.Context, name string) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	if err := u.start(ctx); err != nil {
		return err
	}
	e.env.shed()
	return u.pin()
}

// Stop detaches a collector while the others go on. What it has counted stays,
// and is served again when it is started.
func (e *Engine) Stop(ctx context.Context, name string) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	return u.stop(ctx)
}

// Set sets an option of a collector while it runs. Unless the option is live
// the collector is attached anew, and misses what happens meanwhile. If the
// value does not work the collector goes on with the one before.
func (e *Engine) Set(ctx context.Context, name, option string, value collector.Value) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	return u.set(ctx, option, value)
}

func (e *Engine) find(name string) (*unit, error) {
	var names []string
	for _, u := range e.units {
		if u.spec.Name == name {
			return u, nil
		}
		names = append(names, u.spec.Name)
	}
	return nil, fmt.Errorf("unknown collector %q: there are %s", name, strings.Join(names, ", "))
}
