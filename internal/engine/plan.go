// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
)

// machine says what this kernel supports; a [kernel.Machine].
type machine interface {
	// Program says whether it can run a program of an object.
	Program(p *ebpf.ProgramSpec, maps map[string]*ebpf.MapSpec) kernel.Finding
	// Enumerator says whether the enum of its types has the enumerator.
	Enumerator(enum, name string) kernel.Finding
}

// choose takes for every hook its source, if that counts the right thing here,
// or else the first program that this kernel supports. A hook without either
// makes the collector unsupported, or is absent if it is optional.
func choose(hooks []collector.Hook, obj *ebpf.CollectionSpec, on func(option string) bool, m machine) (chosen, absent []HookState, problem *Problem, err error) {
	for _, hook := range hooks {
		if !applies(hook, chosen, on) {
			continue
		}
		state, remedy, err := choice(hook, obj, m)
		switch {
		case err != nil:
			return nil, nil, nil, err
		case state.Attach != "":
			chosen = append(chosen, state)
		case hook.Optional:
			state.Without = hook.Without
			absent = append(absent, state)
		default:
			var reasons []string
			for _, r := range state.Rejected {
				reasons = append(reasons, r.Attach+": "+r.Reason)
			}
			return append(chosen, state), absent, &Problem{
				Status: Unsupported,
				Reason: fmt.Sprintf("nowhere to observe %s: %s", hook.Name, strings.Join(reasons, "; ")),
				Remedy: remedy,
			}, nil
		}
	}
	return chosen, absent, nil, nil
}

// choice tries the places of one hook. If there is none, the state is attached
// nowhere.
func choice(hook collector.Hook, obj *ebpf.CollectionSpec, m machine) (state HookState, remedy string, err error) {
	state.Name = hook.Name
	if hook.Source != nil {
		state.AnyOf = append(state.AnyOf, hook.Source.From)
	}
	for _, name := range hook.Programs {
		if obj.Programs[name] == nil {
			return state, "", fmt.Errorf("hook %s: the object has no program %s", hook.Name, name)
		}
		if at := obj.Programs[name].SectionName; !slices.Contains(state.AnyOf, at) {
			state.AnyOf = append(state.AnyOf, at)
		}
	}
	if chooseSource(&state, hook.Source, m) {
		return state, "", nil
	}
	for _, name := range hook.Programs {
		spec := obj.Programs[name]
		// An inconclusive answer is tried: the kernel itself decides at load.
		finding := m.Program(spec, obj.Maps)
		if finding.Answer != kernel.No {
			state.Program, state.Attach = name, spec.SectionName
			break
		}
		state.Rejected = append(state.Rejected, Rejection{Program: name, Attach: spec.SectionName, Reason: finding.Reason})
		remedy = cmp.Or(remedy, finding.Remedy)
	}
	return state, remedy, nil
}

// chooseSource takes the source if there is one that counts the right thing on
// this kernel. Doubt speaks against it: what it counted would be believed.
func chooseSource(state *HookState, s *collector.Source, m machine) bool {
	if s == nil {
		return false
	}
	if s.Enumerator != "" {
		if f := m.Enumerator(s.Enum, s.Enumerator); f.Answer != kernel.Yes {
			reason := s.Otherwise
			if f.Answer == kernel.Unknown {
				reason = f.Reason
			}
			state.Rejected = append(state.Rejected, Rejection{Attach: s.From, Reason: reason})
			return false
		}
	}
	state.Attach, state.source = s.From, s
	return true
}

// wanted says whether the options are such that something is there.
func wanted(when, unless string, on func(option string) bool) bool {
	return on(when) && (unless == "" || !on(unless))
}

// applies says whether the options and the earlier hooks ask for the hook.
func applies(hook collector.Hook, chosen []HookState, on func(option string) bool) bool {
	return wanted(hook.When, hook.Unless, on) && (hook.For == "" || took(chosen, hook.For))
}

// took says whether an earlier hook has taken the program.
func took(chosen []HookState, program string) bool {
	return slices.ContainsFunc(chosen, func(h HookState) bool { return h.Program == program })
}

// prune leaves in the object only the chosen programs and what they use, so
// that the kernel never sees the alternatives it could not run.
func prune(obj *ebpf.CollectionSpec, hooks []HookState) {
	keep := make(map[string]bool)
	for _, hook := range hooks {
		keep[hook.Program] = true
	}
	used := make(map[string]bool)
	for name, prog := range obj.Programs {
		if !keep[name] {
			delete(obj.Programs, name)
			continue
		}
		for _, ins := range prog.Instructions {
			if ins.IsLoadFromMap() {
				used[ins.Reference()] = true
			}
		}
	}
	for name := range obj.Maps {
		// Sections of variables start with a dot.
		if !used[name] && !strings.HasPrefix(name, ".") {
			delete(obj.Maps, name)
		}
	}
}
