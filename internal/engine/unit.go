// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/table"
)

// unit is one collector at work: a state machine that has a [session] while it
// is attached. Its maps outlive the sessions.
type unit struct {
	spec   collector.Spec
	cfg    *Config
	status status
	flight flight

	mu      sync.Mutex // what follows serves one at a time
	values  map[string]collector.Value
	maps    *attach.Maps
	share   *attach.Share
	session *session      // nil unless it is attached
	seen    kernel.Module // the module as it was at the last start
	await   func()        // follows what the collector waits for; nil before that is wanted
}

func newUnit(spec collector.Spec, cfg *Config) *unit {
	u := &unit{
		spec: spec, cfg: cfg, maps: attach.NewMaps(), share: cfg.Pins.Share(spec.Name),
		values: make(map[string]collector.Value),
	}
	u.status = status{logger: cfg.Logger.With("collector", spec.Name), state: State{Collector: spec.Name}}
	for _, o := range spec.Options {
		if v, ok := cfg.Options[spec.Name+"."+o.Name]; ok {
			u.values[o.Name] = v
		}
	}
	return u
}

// start attaches the collector, unless it is attached.
func (u *unit) start(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.session == nil {
		u.status.settle(u.begin(ctx))
	}
}

// stop detaches the collector and keeps what it has counted.
func (u *unit) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.end()
	u.status.settle(State{Status: Stopped, Reason: "switched off"})
}

// close detaches what is not pinned and frees the maps.
func (u *unit) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.end()
	u.maps.Close()
	u.share.Close()
}

// end ends the session, if there is one.
func (u *unit) end() {
	if u.session != nil {
		u.session.close()
		u.session = nil
	}
}

// begin makes a session and returns the state that the collector is in then.
func (u *unit) begin(ctx context.Context) State {
	if u.spec.Module != nil {
		u.seen = u.cfg.Machine.Module(u.spec.Module.Name)
		if !u.seen.Live {
			return State{Status: Waiting, Reason: fmt.Sprintf("module %s is not loaded", u.spec.Module.Name)}
		}
	}
	counted := !u.maps.Created().IsZero()
	var state State
	err := u.privileged(func() error {
		return attach.Safely(func() error {
			state = u.build(ctx)
			return nil
		})
	})
	if err != nil {
		state = stateOf(attach.Explain("attaching", err))
	}
	if state.Status != Running {
		u.end()
		if !counted {
			u.maps.Close()
		}
	}
	return state
}

// privileged runs f with the capabilities that attaching takes.
func (u *unit) privileged(f func() error) error {
	if u.cfg.Privileged == nil {
		return f()
	}
	return u.cfg.Privileged(capabilities(u.spec), f)
}

// build attaches the collector. An option that does not work here is left out:
// it never takes what the collector does without it along.
func (u *unit) build(ctx context.Context) State {
	values := maps.Clone(u.values)
	var without []attach.HookState
	off := make(map[string]string)
	for {
		plan, problem := u.attach(ctx, values)
		if problem == nil {
			s := u.session
			s.off = off
			s.watchRatios(u)
			return State{Status: Running, Adopted: u.maps.Adopted(), Hooks: s.set.Hooks, Absent: append(without, s.set.Absent...)}
		}
		if problem.Option == "" || !collector.IsOn(values[problem.Option]) {
			state := stateOf(problem)
			if plan != nil {
				state.Hooks, state.Absent = plan.States()
			}
			return state
		}
		values[problem.Option], off[problem.Option] = false, problem.Reason
		absent := *problem.Hook
		absent.Without = fmt.Sprintf("option %s does not work here", problem.Option)
		without = append(without, absent)
		u.status.logger.Warn("Option does not work here", "option", problem.Option, "reason", problem.Reason, "remedy", problem.Remedy)
	}
}

// attach makes a session with these values of the options. With a problem comes
// the plan as far as it got.
func (u *unit) attach(ctx context.Context, values map[string]collector.Value) (*attach.Plan, *attach.Problem) {
	cfg := attach.Config{
		Spec: u.spec, Values: values, Unit: u.cfg.Layout.Unit(), Machine: u.cfg.Machine, Pinned: u.share != nil,
		Prepare: func(name string, def *ebpf.MapSpec, m *ebpf.Map) error {
			return table.Reserve(u.spec.Table(name), def, m)
		},
	}
	plan, problem := attach.NewPlan(ctx, cfg)
	if problem != nil {
		return plan, problem
	}
	set := u.share.Adopt(plan, u.maps)
	if set == nil {
		if set, problem = plan.Attach(ctx, u.maps); problem != nil {
			return plan, problem
		}
	}
	session, err := newSession(u, cfg, plan.Object(), set)
	if err != nil {
		set.Close()
		return plan, attach.Explain("preparing to read", err)
	}
	u.session = session
	return plan, nil
}

// set sets an option.
func (u *unit) set(ctx context.Context, name string, value collector.Value) error {
	at := slices.IndexFunc(u.spec.Options, func(o collector.Option) bool { return o.Name == name })
	if at < 0 {
		return fmt.Errorf("%s has no option %q", u.spec.Name, name)
	}
	option := u.spec.Options[at]
	if err := option.Check(value); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	before, had := u.values[name]
	u.values[name] = value
	back := func() {
		delete(u.values, name)
		if had {
			u.values[name] = before
		}
	}
	switch {
	case u.session == nil:
		return nil
	case option.Live:
		err := u.session.set.SetOption(name, value)
		if err != nil {
			back()
		}
		return err
	}
	u.end()
	state := u.begin(ctx)
	refused := state.Reason
	if state.Status == Running {
		refused = u.session.off[name]
	}
	if refused != "" {
		back()
		u.end()
		state = u.begin(ctx)
	}
	u.status.settle(state)
	if refused != "" {
		return fmt.Errorf("setting %s of %s to %v: %s", name, u.spec.Name, value, refused)
	}
	return u.renewPins()
}

// retryEvery is how often a collector that waits for a file looks for it.
const retryEvery = time.Second

// follow starts to follow what the collector waits for, or may lose, until ctx
// ends.
func (u *unit) follow(ctx context.Context) {
	switch {
	case u.spec.Module != nil:
		go u.followModule(ctx)
	case u.hasSource():
		u.mu.Lock()
		defer u.mu.Unlock()
		u.await = func() { go u.followFile(ctx) }
		if u.status.get().Status == Waiting {
			u.await()
		}
	}
}

// hasSource reports whether the collector waits where a source is not there.
func (u *unit) hasSource() bool {
	return slices.ContainsFunc(u.spec.Hooks, func(h collector.Hook) bool {
		only := !slices.ContainsFunc(h.Ways, func(w collector.Way) bool { return w.Source == nil })
		return only && !h.Optional
	})
}

func (u *unit) followModule(ctx context.Context) {
	for {
		u.mu.Lock()
		seen := u.seen
		u.mu.Unlock()
		now, err := u.cfg.Machine.NextModule(ctx, seen)
		if err != nil {
			return
		}
		u.moved(ctx, now)
	}
}

// moved takes in that the module is another than it was. What is attached to a
// module that is gone counts nothing any more, and nothing says so.
func (u *unit) moved(ctx context.Context, now kernel.Module) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.get().Status == Stopped || ctx.Err() != nil {
		u.seen = now
		return
	}
	u.end()
	state := u.begin(ctx)
	// A module that goes and comes shows as coming in between.
	if before := u.status.get(); state.Status != Waiting || before.Status != Waiting {
		u.status.settle(state)
	}
	if err := u.renewPins(); err != nil {
		u.status.logger.Warn("Pins could not be renewed", "err", err)
	}
	u.cfg.Machine.Release()
}

func (u *unit) followFile(ctx context.Context) {
	ticks := time.NewTicker(retryEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if !u.retry(ctx) {
			return
		}
	}
}

// retry tries to start a collector that waits, and reports whether it still
// does.
func (u *unit) retry(ctx context.Context) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.get().Status != Waiting || ctx.Err() != nil {
		return false
	}
	state := u.begin(ctx)
	if state.Status != Waiting {
		u.status.settle(state)
	}
	return state.Status == Waiting
}

// lose ends the session of a collector whose source is not there any more.
func (u *unit) lose(err error) bool {
	if !errors.Is(err, fs.ErrNotExist) || !u.hasSource() {
		return false
	}
	u.end()
	u.status.settle(State{Status: Waiting, Reason: err.Error()})
	if u.await != nil {
		u.await()
	}
	return true
}

// pin leaves the collector in its share of the pins.
func (u *unit) pin() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.renewPins()
}

// renewPins pins the session, unless it already is. A collector that waits
// leaves what is pinned for when it runs again.
func (u *unit) renewPins() error {
	if u.session == nil && u.status.get().Status == Waiting {
		return nil
	}
	var set *attach.Set
	if u.session != nil {
		set = u.session.set
	}
	var removed string
	err := u.privileged(func() (err error) {
		removed, err = u.share.Pin(set)
		return err
	})
	if removed != "" {
		u.status.logger.Info("Removed what was pinned", "reason", removed)
	}
	if errors.Is(err, attach.ErrNotPinned) {
		u.status.logger.Warn("Not pinned: it counts only while kernscope runs", "reason", err)
		return nil
	}
	return err
}
