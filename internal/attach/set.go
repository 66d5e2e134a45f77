// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
)

// Set is what is attached of a collector, until it is closed.
type Set struct {
	// Hooks are those that are observed, Absent the optional ones that have no
	// place on this machine.
	Hooks, Absent []HookState

	spec     collector.Spec
	maps     *Maps
	programs map[string]*ebpf.Program
	links    map[string]attachment // by program
	readers  []Opened
	pins     pinning
	uses     map[string]bool // names of maps
	// runs ask whether programs that are attached in some ways still run.
	runs []func() kernel.Finding
}

// pinning is what is known of where a set is pinned, or would be.
type pinning struct {
	identity string
	load     uint64 // of the module that the programs are attached to
	// adopted means that an earlier process attached the set.
	adopted bool
	// pinned means that the set is pinned, by whomever.
	pinned bool
}

// Opened is a source that is in use.
type Opened struct {
	Source *collector.Source
	Reader collector.Reader
}

// Attach makes the plan true: it loads all programs, then attaches them in the
// order of the hooks. A way that fails is given up for the next. Maps that are
// there already go on. If there is a problem nothing is left attached; the
// maps stay as they are.
func (p *Plan) Attach(ctx context.Context, m *Maps) (*Set, *Problem) {
	s := p.newSet(m)
	problem := s.build(ctx, p)
	s.Hooks, s.Absent = p.States()
	if problem != nil {
		p.Close()
		s.Close()
		return s, problem
	}
	s.takeReaders(p)
	return s, nil
}

func (p *Plan) newSet(m *Maps) *Set {
	s := &Set{
		spec: p.cfg.Spec, maps: m,
		programs: make(map[string]*ebpf.Program),
		links:    make(map[string]attachment),
		pins:     pinning{identity: p.identity, load: p.cfg.Machine.Module(p.cfg.module()).Identity},
		uses:     make(map[string]bool),
	}
	return s
}

// takeReaders takes the sources that the plan opened.
func (s *Set) takeReaders(p *Plan) {
	for _, c := range p.hooks {
		if c.reader != nil {
			s.readers = append(s.readers, Opened{c.hook.Ways[c.way].Source, c.reader})
			c.reader = nil
		}
	}
}

func (s *Set) build(ctx context.Context, p *Plan) *Problem {
	l, err := newLoader(p, s.maps)
	if err != nil {
		return Explain("loading", err)
	}
	for _, c := range p.hooks {
		if problem := s.try(ctx, p, c, "loading", func() error { return l.load(s, c.state.Programs) }); problem != nil {
			return problem
		}
	}
	if err := s.setVariables(p); err != nil {
		return Explain("loading", err)
	}
	for _, c := range p.hooks {
		problem := s.try(ctx, p, c, "attaching", func() error {
			if s.programs[c.state.Programs[0]] == nil { // it fell through to another way
				if err := l.load(s, c.state.Programs); err != nil {
					return err
				}
			}
			return s.attach(p.obj, c.state.Programs)
		})
		if problem != nil {
			return problem
		}
	}
	s.note(p)
	l.tidy(s)
	return nil
}

// try does something with the programs of a hook. If that fails the hook falls
// through to its next way. The first failure is the problem if no way is left.
func (s *Set) try(ctx context.Context, p *Plan, c *choice, doing string, do func() error) *Problem {
	var first *Problem
	for c.state.Attach != "" && len(c.state.Programs) > 0 {
		err := do()
		if err == nil {
			return nil
		}
		s.discard(c.state.Programs)
		problem := Explain(doing+" "+c.state.Attach, err)
		if first == nil {
			first = problem
		}
		c.reject(Rejection{Program: c.state.Programs[0], Attach: c.state.Attach, Reason: problem.Reason}, problem.Remedy)
		c.way++
		if nothing := p.settle(ctx, c); nothing != nil {
			first.Reason, first.Hook, first.Option = c.state.reasons(), nothing.Hook, nothing.Option
			first.Waits, first.Passes = nothing.Waits, nothing.Passes
			return first
		}
	}
	return nil
}

func (s *Set) attach(obj *ebpf.CollectionSpec, programs []string) error {
	for _, name := range programs {
		spec := obj.Programs[name]
		k, err := kindOf(spec)
		if err != nil {
			return err
		}
		a, err := k.attach(spec, s.programs[name])
		if err != nil {
			return err
		}
		s.links[name] = a
	}
	return nil
}

// discard lets go of programs.
func (s *Set) discard(programs []string) {
	for _, name := range programs {
		if a := s.links[name]; a != nil {
			a.Close()
			delete(s.links, name)
		}
		if prog := s.programs[name]; prog != nil {
			prog.Close()
			delete(s.programs, name)
		}
	}
}

// Close detaches what is not pinned and lets go of programs and sources. The
// maps stay.
func (s *Set) Close() {
	for _, a := range s.links {
		a.Close()
	}
	for _, prog := range s.programs {
		prog.Close()
	}
	for _, r := range s.readers {
		r.Reader.Close()
	}
	clear(s.links)
	clear(s.programs)
	s.readers = nil
}

// note notes which maps the programs use, and what may silence them.
func (s *Set) note(p *Plan) {
	for name := range s.programs {
		uses(p.obj.Programs[name], s.uses)
	}
	machine := p.cfg.Machine // not the plan, which keeps the object in memory
	for _, k := range kinds() {
		if k.runs != nil && slices.ContainsFunc(slices.Collect(maps.Keys(s.programs)), func(name string) bool { return k.has(p.obj.Programs[name]) }) {
			s.runs = append(s.runs, func() kernel.Finding { return k.runs(machine) })
		}
	}
}

// Uses reports whether a program that is attached uses the map.
func (s *Set) Uses(name string) bool { return s.uses[name] }

// Adopted reports whether an earlier process attached the set.
func (s *Set) Adopted() bool { return s.pins.adopted }

// Program returns a program that is loaded.
func (s *Set) Program(name string) *ebpf.Program { return s.programs[name] }

// Sources returns the sources that are in use.
func (s *Set) Sources() []Opened { return s.readers }

// Silenced returns why programs that are attached do not run, and what would
// help; nil if nothing is known to keep them from it. The kernel says nothing
// of it.
func (s *Set) Silenced() error {
	for _, runs := range s.runs {
		if f := runs(); f.Answer == kernel.No {
			return &silence{f}
		}
	}
	return nil
}

// silence is the error of programs that do not run.
type silence struct{ kernel.Finding }

// Error returns the reason.
func (s *silence) Error() string { return s.Reason }

// Follow attaches to CPUs that have come on, where that is not done by the
// kernel, and lets go of those that are off.
func (s *Set) Follow() error {
	var errs error
	for _, a := range s.links {
		if events, ok := a.(*everyCPU); ok {
			errs = errors.Join(errs, Reading(events.follow(), kernel.PerfCapability()))
		}
	}
	return errs
}

// setVariables gives the variables of options the plan's values. A constant has
// its value since the load. Another is in a map, which outlives what is
// attached, and has the value that it was last given.
func (s *Set) setVariables(p *Plan) error {
	if len(s.programs) == 0 {
		return nil
	}
	settable := optionVariables(p)
	if err := s.maps.live(p.obj, settable); err != nil {
		return err
	}
	for _, v := range s.spec.Variables {
		if !slices.Contains(settable, v.Name) {
			continue
		}
		if err := s.maps.set(v.Name, p.cfg.Value(v.Option)); err != nil {
			return fmt.Errorf("setting variable %s: %w", v.Name, err)
		}
	}
	return nil
}

// SetOption sets the variables of a live option while programs run.
func (s *Set) SetOption(option string, value collector.Value) error {
	if len(s.programs) == 0 {
		return nil // sources serve everything
	}
	for _, v := range s.spec.Variables {
		if v.Option != option {
			continue
		}
		if err := s.maps.set(v.Name, value); err != nil {
			return fmt.Errorf("setting variable %s: %w", v.Name, err)
		}
	}
	return nil
}

// optionVariables returns the names of the variables of options that can be set
// while programs run.
func optionVariables(p *Plan) []string {
	var names []string
	for _, v := range p.cfg.Spec.Variables {
		if v.Option != "" && !p.obj.Variables[v.Name].Constant() {
			names = append(names, v.Name)
		}
	}
	return names
}
