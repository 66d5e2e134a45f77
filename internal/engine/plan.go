// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
)

// supports says whether this kernel can run a program of an object.
type supports func(p *ebpf.ProgramSpec, maps map[string]*ebpf.MapSpec) kernel.Finding

// choose takes for every hook the first program that this kernel supports.
// A hook without one makes the collector unsupported.
func choose(hooks []collector.Hook, obj *ebpf.CollectionSpec, on func(option string) bool, can supports) ([]HookState, *Problem, error) {
	var chosen []HookState
	for _, hook := range hooks {
		if !on(hook.When) {
			continue
		}
		state := HookState{Name: hook.Name}
		for _, name := range hook.Programs {
			if obj.Programs[name] == nil {
				return nil, nil, fmt.Errorf("hook %s: the object has no program %s", hook.Name, name)
			}
			state.AnyOf = append(state.AnyOf, obj.Programs[name].SectionName)
		}
		var remedy string
		for _, name := range hook.Programs {
			spec := obj.Programs[name]
			// An inconclusive answer is tried: the kernel itself decides at load.
			finding := can(spec, obj.Maps)
			if finding.Answer != kernel.No {
				state.Program, state.Attach = name, spec.SectionName
				break
			}
			state.Rejected = append(state.Rejected, Rejection{Program: name, Attach: spec.SectionName, Reason: finding.Reason})
			if remedy == "" {
				remedy = finding.Remedy
			}
		}
		if state.Program == "" {
			var reasons []string
			for _, r := range state.Rejected {
				reasons = append(reasons, r.Attach+": "+r.Reason)
			}
			return append(chosen, state), &Problem{
				Status: Unsupported,
				Reason: fmt.Sprintf("nowhere to observe %s: %s", hook.Name, strings.Join(reasons, "; ")),
				Remedy: remedy,
			}, nil
		}
		chosen = append(chosen, state)
	}
	return chosen, nil, nil
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
