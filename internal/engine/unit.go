// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/kernel"
)

// unit is one collector at work: a state machine that has a [session] while it
// is attached. Its maps outlive the sessions.
type unit struct {
	spec   collector.Spec
	env    *environment
	status status
	flight flight

	mu      sync.Mutex // what follows serves one at a time
	values  map[string]collector.Value
	maps    *attach.Maps
	share   *attach.Share
	session *session      // nil unless it is attached
	seen    kernel.Module // the module as it was at the last start
	file    file          // that the collector waits for
}

func newUnit(spec collector.Spec, env *environment) *unit {
	u := &unit{
		spec: spec, env: env, maps: attach.NewMaps(), share: env.Pins.Share(spec.Name),
		values: make(map[string]collector.Value),
	}
	u.status = status{logger: env.Logger.With("collector", spec.Name), state: State{Collector: spec.Name}}
	if env.Window > 0 { // runs are short, and each adopts what the last one did
		u.status.adopts = slog.LevelDebug
	}
	for _, o := range spec.Options {
		u.values[o.Name] = o.Zero()
		if v, ok := env.Options[spec.Name+"."+o.Name]; ok {
			u.values[o.Name] = v
		}
	}
	return u
}

// lockEvery is how often a lock that another holds is tried.
const lockEvery = 5 * time.Millisecond

// lock locks the unit, unless ctx ends first: a reading that hangs keeps it
// locked.
func (u *unit) lock(ctx context.Context) error {
	for !u.mu.TryLock() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is being read or attached: %w", u.spec.Name, ctx.Err())
		case <-time.After(lockEvery):
		}
	}
	return nil
}

// start attaches the collector, unless it is attached.
func (u *unit) start(ctx context.Context) error {
	if err := u.lock(ctx); err != nil {
		return err
	}
	defer u.mu.Unlock()
	if u.session == nil {
		u.settle(u.begin(ctx))
	}
	return nil
}

// stop detaches the collector and keeps what it has counted.
func (u *unit) stop(ctx context.Context) error {
	if err := u.lock(ctx); err != nil {
		return err
	}
	defer u.mu.Unlock()
	u.end()
	u.status.settle(State{Status: Stopped, Reason: "switched off"})
	return u.renewPins()
}

// close detaches what is not pinned and frees the maps.
func (u *unit) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.end()
	u.maps.Close()
	u.share.Close()
}

// guard runs f for the collector, on a goroutine that nobody else protects. If f
// panics, that is the collector's failure. guard returns whether f did not.
func (u *unit) guard(doing string, f func()) bool {
	err := attach.Safely(func() error {
		f()
		return nil
	})
	if err != nil {
		u.status.fail(attach.Explain(doing, err))
	}
	return err == nil
}

// end ends the session, if there is one.
func (u *unit) end() {
	if u.session != nil {
		u.session.close()
		u.session = nil
	}
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
	err := u.privileged(func() error {
		return attach.Safely(func() (err error) {
			removed, err = u.share.Pin(set)
			return err
		})
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

// unpin takes back what this process pinned.
func (u *unit) unpin() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.session == nil {
		return nil
	}
	return u.share.Unpin(u.session.set)
}
