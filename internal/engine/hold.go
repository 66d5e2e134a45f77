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
	var names []string
	for _, n := range u.spec.Needs {
		if n.Held {
			names = append(names, n.Capabilities...)
		}
	}
	return u.env.raise(names, f)
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
// started: to attach anew when their module is loaded, or at every read.
func Holds(specs []collector.Spec) []Hold {
	var holds []Hold
	for _, s := range specs {
		if s.Module != nil {
			for _, name := range capabilities(s) {
				holds = append(holds, Hold{
					name,
					fmt.Sprintf("%s is attached whenever module %s is loaded", s.Name, s.Module.Name),
					fmt.Sprintf("%s counts nothing once module %s has been loaded anew", s.Name, s.Module.Name),
				})
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
