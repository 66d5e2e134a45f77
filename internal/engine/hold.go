// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"slices"

	"github.com/kernscope/kernscope/collector"
)

// privileged runs f with the capabilities that attaching takes.
func (u *unit) privileged(f func() error) error {
	return u.env.raise(capabilities(u.spec), f)
}

// privilegedRead runs f with the capabilities that every read takes.
func (u *unit) privilegedRead(f func() error) error {
	return u.env.raise(held(u.spec), f)
}

// held returns the capabilities that every read takes.
func held(spec collector.Spec) (names []string) {
	for _, n := range spec.Needs {
		if n.Held {
			names = append(names, n.Capabilities...)
		}
	}
	return names
}

// raise runs f with the capabilities in effect.
func (e *environment) raise(names []string, f func() error) error {
	if e.Privileged == nil || len(names) == 0 {
		return f()
	}
	return e.Privileged(names, f)
}

// capabilities returns those that attaching a collector takes.
func capabilities(spec collector.Spec) []string {
	names := []string{"CAP_BPF", "CAP_PERFMON"}
	for _, n := range spec.Needs {
		for _, name := range n.Capabilities {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Hold is a capability that a collector takes after it has been started.
type Hold struct {
	// Capability as in capabilities(7).
	Capability string
	// Reason says what takes it.
	Reason string
	// Cost says what does not work without it.
	Cost string
}

// Holds returns the capabilities that collectors take after they have been
// started: to attach when what they wait for is there, whenever their module is
// loaded, or at every read. The states are those of the specs.
func Holds(specs []collector.Spec, states []State) []Hold {
	var holds []Hold
	for i, s := range specs {
		var reason, cost string
		switch {
		case s.Module != nil:
			reason = fmt.Sprintf("%s is attached whenever module %s is loaded", s.Name, s.Module.Name)
			cost = fmt.Sprintf("%s counts nothing once module %s has been loaded anew", s.Name, s.Module.Name)
		case s.Load != nil && (states[i].Status == Waiting || states[i].passes()):
			reason = fmt.Sprintf("%s is attached when what it waits for is there", s.Name)
			cost = fmt.Sprintf("%s counts nothing until kernscope is started again", s.Name)
		}
		for _, name := range capabilities(s) {
			if reason != "" {
				holds = append(holds, Hold{name, reason, cost})
			}
		}
		for _, n := range s.Needs {
			if !n.Held {
				continue
			}
			for _, name := range n.Capabilities {
				holds = append(holds, Hold{name, s.Name + ": " + n.Why, s.Name + " cannot be read"})
			}
		}
	}
	return holds
}
