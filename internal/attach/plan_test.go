// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// object has three programs, each with a map of its own, and a shared one.
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
			"best":  {Name: "best", SectionName: "tp_btf/x", Instructions: uses("state", "counts")},
			"next":  {Name: "next", SectionName: "raw_tp/x", Instructions: uses("fallback", "counts")},
			"third": {Name: "third", SectionName: "raw_tp/y", Instructions: uses("counts")},
		},
		Maps: map[string]*ebpf.MapSpec{"state": {}, "fallback": {}, "counts": {}, ".rodata": {}},
	}
}

// answers is a machine that answers by name.
type answers func(name string) kernel.Finding

func (a answers) program(p *ebpf.ProgramSpec) kernel.Finding { return a(p.Name) }

func (a answers) enumerator(_, name string) kernel.Finding { return a(name) }

func (a answers) moduleTypes() kernel.Finding { return a("types") }

func only(names ...string) answers {
	return func(name string) kernel.Finding {
		if slices.Contains(names, name) {
			return kernel.Finding{Answer: kernel.Yes}
		}
		return kernel.Finding{Answer: kernel.No, Reason: name + " is missing", Remedy: "a newer kernel"}
	}
}

func unknown(string) kernel.Finding { return kernel.Finding{Reason: "who knows"} }

// choose makes a plan for hooks.
func choose(t *testing.T, has answers, hooks ...collector.Hook) (*Plan, *Problem) {
	t.Helper()
	p := &Plan{
		cfg: Config{Spec: collector.Spec{Hooks: hooks, Options: []collector.Option{{Name: "more"}}}},
		obj: object(), ask: has,
	}
	t.Cleanup(p.Close)
	return p, p.choose(t.Context())
}

func TestPlanTakesTheFirstWayThatTheKernelHas(t *testing.T) {
	together := []collector.Way{{Programs: []string{"best", "third"}}, {Programs: []string{"next"}, Without: "less"}}
	typed := []collector.Way{{Programs: []string{"best"}, Types: true}, {Programs: []string{"next"}}}
	for _, tc := range []struct {
		ways           []collector.Way
		has            answers
		program        string
		attach, reason string
	}{
		{collector.By("best", "next"), only("best", "next"), "best", "tp_btf/x", ""},
		{collector.By("best", "next"), only("next"), "next", "raw_tp/x", "best is missing"},
		{collector.By("best", "next"), unknown, "best", "tp_btf/x", ""},
		{together, only("best", "third"), "best", "tp_btf/x and raw_tp/y", ""},
		{together, only("best", "next"), "next", "raw_tp/x", "third is missing"},
		{typed, only("best", "next", "types"), "best", "tp_btf/x", ""},
		{typed, only("best", "next"), "next", "raw_tp/x", "types is missing"},
	} {
		p, problem := choose(t, tc.has, collector.Hook{Name: "event", Ways: tc.ways})
		if problem != nil {
			t.Fatalf("%s: problem %v", tc.program, problem)
		}
		taken, absent := p.States()
		h := taken[0]
		var reasons string
		for _, r := range h.Rejected {
			reasons += r.Reason
		}
		if h.Programs[0] != tc.program || h.Attach != tc.attach || reasons != tc.reason || len(absent) > 0 {
			t.Errorf("chose %+v, want %s at %s, not the other because %q", h, tc.program, tc.attach, tc.reason)
		}
		if want := tc.ways[len(h.Rejected)].Without; h.Without != want {
			t.Errorf("%s does not observe %q, want %q", tc.program, h.Without, want)
		}
	}
}

func TestPlanExplainsWhyNothingServes(t *testing.T) {
	_, problem := choose(t, only(), collector.Hook{Name: "event", Ways: collector.By("best", "next")})
	const want = "nowhere to observe event: tp_btf/x: best is missing; raw_tp/x: next is missing"
	if problem == nil || !problem.Unsupported || problem.Waits || problem.Reason != want || problem.Remedy != "a newer kernel" {
		t.Errorf("problem %+v, want unsupported: %s", problem, want)
	}
}

func TestPlanLeavesOutWhatIsNotWanted(t *testing.T) {
	p, problem := choose(t, only("best"),
		collector.Hook{Name: "event", Ways: collector.By("best")},
		collector.Hook{Name: "extra", Ways: collector.By("next"), When: "more"})
	if taken, absent := p.States(); problem != nil || len(taken) != 1 || len(absent) != 0 {
		t.Errorf("chose %v and %v (problem %v), want only the hook without a condition", taken, absent, problem)
	}
}

func TestPlanDoesWithoutWhatIsOptional(t *testing.T) {
	extra := collector.Hook{Name: "newer event", Ways: collector.By("next"), Optional: true, Without: "newer ones are not seen"}
	for _, tc := range []struct {
		has  answers
		want bool
	}{{only("best", "next"), false}, {unknown, false}, {only("best"), true}} {
		p, problem := choose(t, tc.has, collector.Hook{Name: "event", Ways: collector.By("best")}, extra)
		_, absent := p.States()
		if problem != nil || (len(absent) == 1) != tc.want {
			t.Errorf("absent are %+v (problem %v), want one: %v", absent, problem, tc.want)
		}
		if tc.want && (absent[0].Without != extra.Without || absent[0].Rejected[0].Reason != "next is missing") {
			t.Errorf("it does not say why, or what of it: %+v", absent[0])
		}
	}
}

func TestPlanNamesAMistake(t *testing.T) {
	for want, way := range map[string]collector.Way{
		"no program absent":   {Programs: []string{"absent"}},
		"either programs or ": {},
	} {
		_, problem := choose(t, only("best"), collector.Hook{Name: "event", Ways: []collector.Way{{Programs: []string{"best"}}, way}})
		if problem == nil || problem.Unsupported || !strings.Contains(problem.Reason, want) {
			t.Errorf("problem %+v, want one that says %q", problem, want)
		}
	}
}

// reading opens what reads nothing.
func reading(context.Context) (collector.Reader, error) {
	return collector.ReadFunc(func(context.Context) (map[string][]metric.Sample, error) { return nil, nil }), nil
}

func TestPlanTakesASourceOnlyIfItIsRight(t *testing.T) {
	missing := fmt.Errorf("looking: %w", fs.ErrNotExist)
	for _, tc := range []struct {
		source         collector.Source
		has            answers
		attach, reason string
	}{
		{collector.Source{}, only("best"), "/proc/x", ""},
		{collector.Source{Enumerator: "MARK", Otherwise: "counts twice"}, only("best", "MARK"), "/proc/x", ""},
		{collector.Source{Enumerator: "MARK", Otherwise: "counts twice"}, only("best"), "tp_btf/x", "counts twice"},
		{collector.Source{Enumerator: "MARK", Otherwise: "counts twice"}, unknown, "tp_btf/x", "who knows"},
		{collector.Source{Open: func(context.Context) (collector.Reader, error) { return nil, missing }}, only("best"), "tp_btf/x", missing.Error()},
		{collector.Source{Open: func(context.Context) (collector.Reader, error) { panic("who is there") }}, only("best"), "tp_btf/x", "panic: who is there"},
	} {
		tc.source.From = "/proc/x"
		if tc.source.Open == nil {
			tc.source.Open = reading
		}
		p, problem := choose(t, tc.has, collector.Hook{Name: "event", Ways: []collector.Way{{Source: &tc.source}, {Programs: []string{"best"}}}})
		if problem != nil {
			t.Fatalf("problem %v", problem)
		}
		taken, _ := p.States()
		var reason string
		for _, r := range taken[0].Rejected {
			reason += r.Reason
		}
		if taken[0].Attach != tc.attach || (len(taken[0].Programs) == 0) != (tc.attach == "/proc/x") || !strings.HasPrefix(reason, tc.reason) {
			t.Errorf("chose %+v, want %s, not the other because %q", taken[0], tc.attach, tc.reason)
		}
	}
}

// TestPlanWaitsForASource has a hook whose only way is a file that is not there.
func TestPlanWaitsForASource(t *testing.T) {
	for err, waits := range map[error]bool{fs.ErrNotExist: true, fs.ErrPermission: false} {
		s := &collector.Source{From: "/proc/x", Open: func(context.Context) (collector.Reader, error) { return nil, err }}
		_, problem := choose(t, only(), collector.Hook{Name: "event", Ways: []collector.Way{{Source: s}}})
		if problem == nil || problem.Waits != waits {
			t.Errorf("%v: problem %+v, want one that waits: %v", err, problem, waits)
		}
	}
}

// closing tells when it is closed.
type closing struct {
	collector.ReadFunc
	closed chan struct{}
}

func (c closing) Close() error {
	close(c.closed)
	return nil
}

// TestSourceThatOpensTooLateIsClosed has a source that ignores its deadline.
func TestSourceThatOpensTooLateIsClosed(t *testing.T) {
	goOn, closed := make(chan struct{}), make(chan struct{})
	s := &collector.Source{From: "/proc/x", Open: func(context.Context) (collector.Reader, error) {
		<-goOn
		return closing{closed: closed}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openSource(ctx, s, nil); err == nil {
		t.Fatal("no error of a source that hangs")
	}
	close(goOn)
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Error("what opened later was not closed")
	}
}
