// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kernscope/kernscope/collector"
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
	before := u.values[name]
	u.values[name] = value
	back := func() { u.values[name] = before }
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
	defer u.env.shed()
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
	u.settle(state)
	err := u.renewPins()
	if refused != "" {
		err = errors.Join(fmt.Errorf("setting %s of %s to %v: %s", name, u.spec.Name, value, refused), err)
	}
	return err
}
