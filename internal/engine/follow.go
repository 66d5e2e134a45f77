// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
)

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
		now, err := u.env.Machine.NextModule(ctx, seen)
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
	u.env.shed()
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
		u.env.shed()
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
