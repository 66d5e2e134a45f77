// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/table"
)

// begin makes a session and returns the state that the collector is in then.
func (u *unit) begin(ctx context.Context) State {
	u.env.starting.Lock()
	defer u.env.starting.Unlock()
	if u.spec.Module != nil {
		u.seen = u.env.Machine.Module(u.spec.Module.Name)
		if !u.seen.Live {
			return State{Status: Waiting, Reason: fmt.Sprintf("module %s is not loaded", u.spec.Module.Name)}
		}
	}
	counted := !u.maps.Created().IsZero()
	var state State
	err := u.privileged(func() error {
		return attach.Safely(func() error {
			state = u.build(ctx)
			return state.problem.Refusal()
		})
	})
	switch {
	case err == nil:
	case state.problem.Refusal() == nil:
		state = stateOf(attach.Explain("attaching", err))
	case state.Reason != err.Error(): // it also says what the process gave up
		state.Reason, state.Remedy = err.Error(), "restart kernscope, and let it hold these capabilities"
	}
	if state.Status != Running {
		u.end()
		if !counted {
			u.maps.Close()
		}
	}
	return state
}

// build attaches the collector. An option that does not work here is left out:
// it never takes what the collector does without it along.
func (u *unit) build(ctx context.Context) State {
	if !u.maps.Created().IsZero() {
		// Early, since the kernel detaches some milliseconds later.
		if err := u.share.Detach(); err != nil {
			return stateOf(attach.Explain("detaching what is pinned", err))
		}
	}
	values := maps.Clone(u.values)
	var without []attach.HookState
	off := make(map[string]string)
	for {
		plan, problem := u.attach(ctx, values)
		if problem == nil {
			s := u.session
			s.off = off
			s.watchRatios(u)
			return State{
				Status: Running, Adopted: u.maps.Adopted(), Hooks: s.set.Hooks, Absent: append(without, s.set.Absent...),
				attached: !s.set.Adopted(),
			}
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
		Spec: u.spec, Values: values, Unit: u.env.Buckets.Unit(), Machine: u.env.Machine, Pinned: u.share != nil,
		Privileged: u.privileged,
		Fit: func(obj *ebpf.CollectionSpec, value func(string) collector.Value) error {
			return fit(u.spec, obj, value)
		},
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

// fit sizes the tables that an option bounds, and adds the companions of tables.
func fit(spec collector.Spec, obj *ebpf.CollectionSpec, value func(option string) collector.Value) error {
	for _, t := range spec.Tables {
		rows := 0
		if t.Bound != nil {
			var ok bool
			if rows, ok = value(t.Bound.Option).(int); !ok || rows <= 0 {
				return fmt.Errorf("option %s: %v is no number of rows", t.Bound.Option, value(t.Bound.Option))
			}
			rows = rows * cmp.Or(int(t.Bound.Percent), 100) / 100
		}
		table.Fit(t, obj, uint32(rows))
	}
	return nil
}
