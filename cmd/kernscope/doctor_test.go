// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/sandbox"
)

// printed is what doctor prints of collectors, without the machine.
func printed(collectors ...engine.State) string {
	var out strings.Builder
	(&report{Collectors: collectors}).print(&out)
	_, text, _ := strings.Cut(out.String(), "\n\n")
	return text
}

func TestDoctorShowsWhatACollectorDoesWithout(t *testing.T) {
	got := printed(engine.State{
		Collector: "memory", Status: engine.Running,
		Hooks: []attach.HookState{
			{Name: "allocation", Programs: []string{"allocate"}, Attach: "raw_tp/a", AnyOf: []string{"raw_tp/a"}},
		},
		Absent: []attach.HookState{{
			Name: "start of a swap-in", AnyOf: []string{"fentry/s"}, Without: "swap-ins have no latency",
			Rejected: []attach.Rejection{{Program: "swap", Attach: "fentry/s", Reason: "this kernel has no function s"}},
		}},
	})
	const want = `memory: running
  allocation: at raw_tp/a
  start of a swap-in: not here: swap-ins have no latency
    not fentry/s (swap): this kernel has no function s

1 of 1 collectors run on this machine.
`
	if got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestDoctorSaysWhatTheSandboxForbids(t *testing.T) {
	var out strings.Builder
	r := &report{}
	for _, p := range []sandbox.Part{{Name: "seccomp", Forbids: "much"}, {Name: "landlock", Forbids: "more", Reason: "the kernel has none"}} {
		r.Sandbox = append(r.Sandbox, p.String())
	}
	r.print(&out)
	for _, line := range []string{
		"Sandbox while it serves: seccomp: forbids much.\n",
		"Sandbox while it serves: landlock: not in force: the kernel has none.\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in\n%s", line, &out)
		}
	}
}

func TestDoctorSaysWhyTheBestIsNotTaken(t *testing.T) {
	got := printed(engine.State{Collector: "x", Status: engine.Running, Hooks: []attach.HookState{
		{Name: "best", Programs: []string{"typed"}, Attach: "tp_btf/x"},
		{
			Name: "next", Programs: []string{"raw"}, Attach: "raw_tp/x",
			Without:  "less is seen",
			Rejected: []attach.Rejection{{Program: "typed", Attach: "tp_btf/x", Reason: "no types"}},
		},
	}})
	const want = `x: running
  best: at tp_btf/x
  next: at raw_tp/x
    so less is seen
    not tp_btf/x (typed): no types

1 of 1 collectors run on this machine.
`
	if got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestDoctorSaysOnceWhatIsTrueOfAll(t *testing.T) {
	lacks := func(name string) engine.State {
		return engine.State{Collector: name, Status: engine.Unsupported, Reason: "not permitted", Remedy: "run as root"}
	}
	other := engine.State{Collector: "c", Status: engine.Failed, Reason: "refused"}
	got := printed(lacks("a"), lacks("b"), other)
	const want = `a, b: unsupported
  why: not permitted
  remedy: run as root

c: failed
  why: refused

0 of 3 collectors run on this machine.
`
	if got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestDoctorSaysWhatIsNeededAndHeld(t *testing.T) {
	var out strings.Builder
	(&report{
		Needs: needs,
		MoreNeeds: moreNeeds([]collector.Spec{
			{Name: "plain"},
			{Name: "tunnel", Needs: []collector.Need{{Capabilities: []string{"CAP_NET_ADMIN"}, Namespaces: []string{"net"}, Why: "It asks in each."}}},
		}),
		Modules:    []string{"module wireguard is not loaded"},
		Held:       []string{"cap_bpf (tunnel attaches)"},
		Denied:     []string{"CAP_PERFMON (tunnel attaches): forbidden: it counts nothing"},
		Collectors: []engine.State{{Collector: "tunnel", Status: engine.Waiting, Reason: "module wireguard is not loaded"}},
	}).print(&out)
	for _, line := range []string{
		"tunnel also needs CAP_NET_ADMIN and net namespaces: It asks in each.",
		"Module wireguard is not loaded.",
		"While it serves, kernscope holds cap_bpf (tunnel attaches).",
		"While it serves, kernscope cannot hold CAP_PERFMON (tunnel attaches): forbidden: it counts nothing.",
		"tunnel: waiting",
		"0 of 1 collectors run on this machine, 1 wait.",
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, &out)
		}
	}
}
