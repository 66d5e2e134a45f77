// SPDX-License-Identifier: Apache-2.0

// Package attach brings a collector's programs into the kernel: it chooses for
// every hook the best way that works on this machine, loads and attaches it, and
// hands out what can be closed again. Maps are kept apart from programs, so that
// counts survive when these are attached anew.
package attach

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// Config decides how a collector is attached.
type Config struct {
	Spec collector.Spec
	// Values are what the options are set to, by name; those that are missing
	// have their defaults.
	Values map[string]collector.Value
	// Unit is the unit in which durations are served.
	Unit    metric.Unit
	Machine *kernel.Machine
	// Fit, if set, is called with the object before it is planned with: it sets
	// the sizes of tables, and adds their companions.
	Fit func(obj *ebpf.CollectionSpec, value func(option string) collector.Value) error
	// Prepare, if set, is called with each map that is created, before a program
	// can fill it.
	Prepare func(name string, def *ebpf.MapSpec, m *ebpf.Map) error
	// Pinned means that what is attached is to be pinned, or adopted.
	Pinned bool
	// Privileged, if set, runs f with the capabilities that attaching takes.
	// Sources are opened within it, each on a goroutine of its own: what its
	// caller raised is not in effect there.
	Privileged func(f func() error) error
}

// Value returns what an option is set to.
func (c *Config) Value(option string) collector.Value {
	if v, ok := c.Values[option]; ok {
		return v
	}
	for _, o := range c.Spec.Options {
		if o.Name == option {
			return o.Zero()
		}
	}
	return nil
}

// Wanted reports whether the options are such that something with these
// conditions is there.
func (c *Config) Wanted(when, unless string) bool {
	return (when == "" || collector.IsOn(c.Value(when))) && (unless == "" || !collector.IsOn(c.Value(unless)))
}

// module returns the name of the module that the collector observes; "" for the
// kernel.
func (c *Config) module() string {
	if c.Spec.Module == nil {
		return ""
	}
	return c.Spec.Module.Name
}

// Problem is why a collector is not attached, or cannot be read.
type Problem struct {
	// Reason in one line of plain words.
	Reason string
	// Remedy is what the user can do; "" if nothing is known.
	Remedy string
	// Detail is what is too long for a line: the verifier's log, or the stack of
	// a panic.
	Detail string
	// Unsupported means that this machine lacks something the collector needs.
	// Otherwise it should work and does not.
	Unsupported bool
	// Passes means that a source is there and cannot be opened now.
	Passes bool
	// Waits means that what is missing may come by itself: a module, a file.
	Waits bool
	// Hook is the hook without a place, if that is the problem, and Option the
	// one that asked for it; "" if nothing did.
	Hook   *HookState
	Option string
	// Denied means that the kernel does not permit it to this process.
	Denied bool
}

// Rejection is a way that was not taken.
type Rejection struct {
	// Program is "" for a source.
	Program string `json:"program,omitempty"`
	Attach  string `json:"attach"`
	Reason  string `json:"reason"`
}

// HookState says which way of a hook is taken on this machine.
type HookState struct {
	Name string `json:"name"`
	// AnyOf are the places that would serve, best first.
	AnyOf []string `json:"any_of"`
	// Programs are those taken; there are none if nothing serves, or if a
	// source of the kernel's own counts does.
	Programs []string `json:"programs,omitempty"`
	// Attach is where these are attached, as section names say it:
	// "tp_btf/sys_enter", or the source: "/proc/vmstat". "" if nothing serves.
	Attach   string      `json:"attach,omitempty"`
	Rejected []Rejection `json:"rejected,omitempty"`
	// Without says what is not observed: by the way that is taken, or because
	// the hook is absent.
	Without string `json:"without,omitempty"`
}

// reasons joins why the ways were rejected.
func (h *HookState) reasons() string {
	list := make([]string, len(h.Rejected))
	for i, r := range h.Rejected {
		list[i] = r.Attach + ": " + r.Reason
	}
	return strings.Join(list, "; ")
}

// oneLine returns an error's text without the newlines of joined errors.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// Explain makes a problem of an error.
func Explain(doing string, err error) *Problem {
	p := &Problem{Reason: doing + ": " + oneLine(err)}
	var refused *ebpf.VerifierError
	var panicked *panicError
	var silent *silence
	switch {
	case errors.As(err, &silent):
		p.Remedy = silent.Remedy
	case errors.As(err, &refused):
		p.Reason = fmt.Sprintf("%s: the kernel's verifier refused the program: %v", doing, err)
		p.Remedy = "report this with the output of \"kernscope doctor\" and \"uname -r\"; --no-collector.NAME leaves the collector out"
		p.Detail = fmt.Sprintf("%+v", refused)
		if kernel.Lockdown() == "confidentiality" {
			p.Remedy = "the kernel is locked down (lockdown=confidentiality) and lets no program copy kernel memory, as this one must: boot with lockdown=integrity"
		}
	case errors.As(err, &panicked):
		p.Remedy = "report this with the stack, which --log.level=debug logs"
		p.Detail = string(panicked.stack)
	case isRefused(err):
		p.Denied = true
		p.Remedy = permitting(err)
	case errors.Is(err, unix.ENOMEM):
		p.Remedy = "the kernel refused the memory: see kernscope_map_bytes for what collectors take"
	}
	return p
}
