// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
)

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
	if err := u.lock(ctx); err != nil {
		return err
	}
	defer u.mu.Unlock()
	// Before anything is detached, and where nothing is attached that would tell.
	err := attach.Safely(func() error {
		return (&attach.Config{Spec: u.spec}).CheckOption(name, value)
	})
	if err == nil && u.session != nil && option.Live {
		err = attach.Safely(func() error { return u.session.set.SetOption(name, value) })
	}
	if err != nil {
		return fmt.Errorf("setting %s of %s to %v: %w", name, u.spec.Name, value, err)
	}
	before := u.values[name]
	u.values[name] = value
	if u.session == nil || option.Live {
		return nil
	}
	u.end()
	defer u.env.shed()
	state := u.begin(ctx)
	refused := state.Reason
	if state.Status == Running {
		refused = u.session.off[name]
	}
	if refused != "" {
		u.values[name] = before
		u.end()
		state = u.begin(ctx)
	}
	u.settle(state)
	err = u.renewPins()
	if refused != "" {
		err = errors.Join(fmt.Errorf("setting %s of %s to %v: %s", name, u.spec.Name, value, refused), err)
	}
	return err
}
