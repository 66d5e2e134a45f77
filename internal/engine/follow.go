// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
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
	case u.mayWaitForFile():
		u.mu.Lock()
		defer u.mu.Unlock()
		u.file.follow = func() { go u.followFile(ctx) }
		if u.status.get().Status == Waiting {
			u.file.wait()
		}
	}
}

// file is the following of a file that a collector waits for. It costs nothing
// while the collector does not wait.
type file struct {
	follow func() // begins it; nil before that is wanted
	busy   bool
	tried  time.Time // when a reading last tried to open one that is broken
}

// wait begins to follow the file, unless that is under way.
func (f *file) wait() {
	if f.follow != nil && !f.busy {
		f.busy = true
		f.follow()
	}
}

// mayWaitForFile reports whether the collector waits where a source is not
// there: where no other way works either, it cannot do without the hook.
func (u *unit) mayWaitForFile() bool {
	return slices.ContainsFunc(u.spec.Hooks, func(h collector.Hook) bool {
		has := slices.ContainsFunc(h.Ways, func(w collector.Way) bool { return w.Source != nil })
		return has && !h.Optional
	})
}

// settle sets the state in which the collector was started or began to wait,
// and follows the file that it waits for.
func (u *unit) settle(state State) {
	u.status.settle(state)
	if state.Status == Waiting {
		u.file.wait()
	}
}

func (u *unit) followModule(ctx context.Context) {
	for {
		u.mu.Lock()
		seen := u.seen
		u.mu.Unlock()
		now, err := u.env.Machine.NextModule(ctx, seen)
		if err != nil || !u.guard("following the module", func() { u.moved(ctx, now) }) {
			return
		}
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
		u.settle(state)
	}
	u.follows()
}

// follows renews the pins of a collector that was attached as it followed
// something, and frees what that took.
func (u *unit) follows() {
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
		waits := true
		u.guard("starting", func() { waits = u.retry(ctx) })
		if !waits {
			return
		}
	}
}

// retry tries to start a collector that waits, and reports whether it still
// does.
func (u *unit) retry(ctx context.Context) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.file.busy = u.status.get().Status == Waiting && ctx.Err() == nil
	if !u.file.busy {
		return false
	}
	if state := u.begin(ctx); state.Status != Waiting {
		u.file.busy = false
		u.settle(state)
		u.follows()
	}
	return u.file.busy
}

// startAgain tries to start a collector whose source could not be opened. One whose
// opening hangs is not tried: every attempt would hang as well.
func (u *unit) startAgain() {
	if time.Since(u.file.tried) < retryEvery {
		return
	}
	state := u.begin(context.Background())
	u.file.tried = time.Now()
	if state.Status == u.status.get().Status {
		u.status.renew(state)
		return
	}
	u.settle(state)
	u.follows()
}

// mayAttach reports whether this process may still attach programs. It may have
// given up what that takes since the machine was asked.
func (u *unit) mayAttach() bool {
	err := u.privileged(func() error {
		machine, err := kernel.Open("")
		if err != nil {
			return err
		}
		if f := machine.Access(); f.Answer != kernel.Yes {
			return errors.New(f.Reason)
		}
		return nil
	})
	return err == nil
}

// lose begins a new session for a collector whose source is not there any more, and
// reports whether that is so. The hook takes its next way, or is absent if it is
// optional. Otherwise the collector waits for the source. If this process could not
// attach the collector's programs anew, they go on, and reading the source fails.
func (u *unit) lose(err error) bool {
	var gone goneError
	if !errors.As(err, &gone) || u.spec.Load != nil && !u.mayAttach() {
		return false
	}
	u.end()
	state := u.begin(context.Background())
	if state.Status == Waiting {
		state = State{Status: Waiting, Reason: gone.Error()}
	}
	u.settle(state)
	if state.Status != Waiting {
		u.follows()
	}
	return true
}
