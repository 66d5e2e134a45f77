// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
)

// object has two programs, each with a map of its own, and a shared one.
func object() *ebpf.CollectionSpec {
	uses := func(maps ...string) asm.Instructions {
		var ins asm.Instructions
		for _, m := range maps {
			ins = append(ins, asm.LoadMapPtr(asm.R1, 0).WithReference(m))
		}
		return append(ins, asm.Return())
	}
	return &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{
			"best": {Name: "best", SectionName: "tp_btf/x", Instructions: uses("state", "counts")},
			"next": {Name: "next", SectionName: "raw_tp/x", Instructions: uses("fallback", "counts")},
		},
		Maps: map[string]*ebpf.MapSpec{"state": {}, "fallback": {}, "counts": {}, ".rodata": {}},
	}
}

// answers is a machine that answers by name.
type answers func(name string) kernel.Finding

func (a answers) Program(p *ebpf.ProgramSpec, _ map[string]*ebpf.MapSpec) kernel.Finding {
	return a(p.Name)
}

func (a answers) Enumerator(_, name string) kernel.Finding { return a(name) }

func only(names ...string) answers {
	return func(name string) kernel.Finding {
		if slices.Contains(names, name) {
			return kernel.Finding{Answer: kernel.Yes}
		}
		return kernel.Finding{Answer: kernel.No, Reason: name + " is missing", Remedy: "a newer kernel"}
	}
}

func unknown(string) kernel.Finding { return kernel.Finding{Reason: "who knows"} }

func always(string) bool { return true }

func TestChooseTakesTheFirstThatTheKernelHas(t *testing.T) {
	hooks := []collector.Hook{{Name: "event", Programs: []string{"best", "next"}}}
	for _, tc := range []struct {
		has      answers
		program  string
		rejected int
		maps     string
	}{
		{only("best", "next"), "best", 0, ".rodata counts state"},
		{only("next"), "next", 1, ".rodata counts fallback"},
		{unknown, "best", 0, ".rodata counts state"},
	} {
		obj := object()
		chosen, _, problem, err := choose(hooks, obj, always, tc.has)
		if err != nil || problem != nil {
			t.Fatalf("%s: problem %v, error %v", tc.program, problem, err)
		}
		if chosen[0].Program != tc.program || len(chosen[0].Rejected) != tc.rejected {
			t.Errorf("chose %+v, want %s with %d rejected", chosen[0], tc.program, tc.rejected)
		}
		prune(obj, chosen)
		if len(obj.Programs) != 1 || obj.Programs[tc.program] == nil {
			t.Errorf("%s: programs left to load: %v", tc.program, obj.Programs)
		}
		for _, name := range []string{"state", "fallback", "counts", ".rodata"} {
			if (obj.Maps[name] != nil) != strings.Contains(tc.maps, name) {
				t.Errorf("%s: map %s left to load: %v, want only %s", tc.program, name, obj.Maps[name] != nil, tc.maps)
			}
		}
	}
}

func TestChooseExplainsWhyNothingServes(t *testing.T) {
	hooks := []collector.Hook{{Name: "event", Programs: []string{"best", "next"}}}
	_, _, problem, err := choose(hooks, object(), always, only())
	if err != nil {
		t.Fatal(err)
	}
	const want = "nowhere to observe event: tp_btf/x: best is missing; raw_tp/x: next is missing"
	if problem == nil || problem.Status != Unsupported || problem.Reason != want || problem.Remedy != "a newer kernel" {
		t.Errorf("problem %+v, want unsupported: %s", problem, want)
	}
}

func TestChooseLeavesOutWhatIsNotWanted(t *testing.T) {
	hooks := []collector.Hook{{Name: "event", Programs: []string{"best"}}, {Name: "extra", Programs: []string{"next"}, When: "more"}}
	chosen, _, problem, err := choose(hooks, object(), func(option string) bool { return option == "" }, only("best"))
	if err != nil || problem != nil || len(chosen) != 1 {
		t.Errorf("chose %v (problem %v, error %v), want only the hook without a condition", chosen, problem, err)
	}
}

func TestChooseFollowsWhatAnEarlierHookTook(t *testing.T) {
	hooks := []collector.Hook{
		{Name: "event", Programs: []string{"best", "next"}},
		{Name: "its companion", Programs: []string{"next"}, For: "best"},
	}
	for _, tc := range []struct {
		has  answers
		want int
	}{{only("best", "next"), 2}, {only("next"), 1}} {
		chosen, _, problem, err := choose(hooks, object(), always, tc.has)
		if err != nil || problem != nil || len(chosen) != tc.want {
			t.Errorf("chose %+v (problem %v, error %v), want %d hooks", chosen, problem, err, tc.want)
		}
	}
	if _, _, problem, _ := choose(hooks, object(), always, only("best")); problem == nil {
		t.Error("no problem although the companion is missing")
	}
}

func TestChooseDoesWithoutWhatIsOptional(t *testing.T) {
	hooks := []collector.Hook{
		{Name: "event", Programs: []string{"best"}},
		{Name: "newer event", Programs: []string{"next"}, Optional: true},
	}
	for _, tc := range []struct {
		has  answers
		want int
	}{{only("best", "next"), 2}, {only("best"), 1}} {
		chosen, _, problem, err := choose(hooks, object(), always, tc.has)
		if err != nil || problem != nil || len(chosen) != tc.want {
			t.Errorf("chose %+v (problem %v, error %v), want %d hooks", chosen, problem, err, tc.want)
		}
	}
}

// TestAbsent: what is left out because the kernel has no place for it is told
// from what is there, and from what nobody asked for.
func TestAbsent(t *testing.T) {
	hook := collector.Hook{Name: "newer event", Programs: []string{"next"}, Optional: true, Without: "newer ones are not seen"}
	optional, companion := hook, hook
	optional.When = "more"
	companion.For = "other"
	for _, tc := range []struct {
		hook collector.Hook
		has  answers
		want bool
	}{
		{hook, only("best", "next"), false},
		{hook, unknown, false},
		{hook, only("best"), true},
		{optional, only("best"), false},
		{companion, only("best"), false},
	} {
		hooks := []collector.Hook{{Name: "event", Programs: []string{"best"}}, tc.hook}
		_, without, _, err := choose(hooks, object(), func(option string) bool { return option == "" }, tc.has)
		if err != nil || (len(without) == 1) != tc.want {
			t.Errorf("%+v: absent are %+v (%v), want it to be: %v", tc.hook, without, err, tc.want)
		}
		if tc.want && (without[0].Without != hook.Without || without[0].Rejected[0].Reason != "next is missing") {
			t.Errorf("it does not say why, or what of it: %+v", without[0])
		}
	}
}

func TestChooseNamesAMissingProgram(t *testing.T) {
	hooks := []collector.Hook{{Name: "event", Programs: []string{"best", "absent"}}}
	_, _, _, err := choose(hooks, object(), always, only("best"))
	if err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("error %v, want one that names the program", err)
	}
}

func TestChooseTakesASourceOnlyIfItIsRight(t *testing.T) {
	always := &collector.Source{From: "/proc/x"}
	sometimes := &collector.Source{From: "/proc/x", Enumerator: "MARK", Otherwise: "counts twice"}
	for _, tc := range []struct {
		source         *collector.Source
		has            answers
		attach, reason string
	}{
		{always, only("best"), "/proc/x", ""},
		{sometimes, only("best", "MARK"), "/proc/x", ""},
		{sometimes, only("best"), "tp_btf/x", "counts twice"},
		{sometimes, unknown, "tp_btf/x", "who knows"},
	} {
		hooks := []collector.Hook{{Name: "event", Source: tc.source, Programs: []string{"best"}}}
		obj := object()
		chosen, _, problem, err := choose(hooks, obj, func(string) bool { return true }, tc.has)
		if err != nil || problem != nil {
			t.Fatalf("problem %v, error %v", problem, err)
		}
		h := chosen[0]
		var reason string
		for _, r := range h.Rejected {
			reason += r.Reason
		}
		if h.Attach != tc.attach || (h.source != nil) != (h.Program == "") || reason != tc.reason {
			t.Errorf("chose %+v, want %s, not the other because %q", h, tc.attach, tc.reason)
		}
		prune(obj, chosen)
		if left := obj.Programs["best"] != nil; left != (h.source == nil) {
			t.Errorf("at %s: the program is left to load: %v", h.Attach, left)
		}
	}
}
