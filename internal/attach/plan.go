// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
)

// machine answers what a way depends on.
type machine interface {
	// program says whether a program can be attached and loaded.
	program(p *ebpf.ProgramSpec) kernel.Finding
	// enumerator says whether the enum of the kernel's types has the enumerator.
	enumerator(enum, name string) kernel.Finding
	// moduleTypes says whether the module's structures are known.
	moduleTypes() kernel.Finding
}

// Plan is how a collector will observe its hooks. Nothing of it is in the kernel
// yet.
type Plan struct {
	cfg   Config
	obj   *ebpf.CollectionSpec
	ask   machine
	hooks []*choice
	// identity is that of pins; "" if nothing is to be pinned.
	identity string
}

// choice is what has been decided for one hook.
type choice struct {
	hook   collector.Hook
	state  HookState
	way    int              // the one taken, or len(hook.Ways)
	remedy string           // of the first way that has one; one that was denied comes before the others
	reader collector.Reader // of the source that is taken
	waits  bool             // for a source that is not here
	broken bool             // a source is here and cannot be opened
	hangs  bool             // a source has not been opened yet
	denied bool             // a way was, to this process
}

// NewPlan chooses for every hook that the options ask for the first way that
// this machine supports. With a problem comes the plan as far as it got, nil if
// that is nowhere, for its states. The plan becomes a [Set] or is to be closed.
func NewPlan(ctx context.Context, cfg Config) (*Plan, *Problem) {
	p := &Plan{cfg: cfg}
	if cfg.Spec.Load != nil {
		for _, f := range []kernel.Finding{cfg.Machine.Access(), cfg.Machine.Types()} {
			if f.Answer == kernel.No {
				return nil, &Problem{Reason: f.Reason, Remedy: f.Remedy, Unsupported: !f.Denied, Denied: f.Denied}
			}
		}
	}
	var err error
	if p.obj, err = cfg.parse(); err != nil {
		return nil, Explain("preparing the object", err)
	}
	p.ask = &questions{cfg.Machine, cfg.Spec.Module, p.obj.Maps}
	if problem := p.choose(ctx); problem != nil {
		p.Close()
		return p, problem
	}
	if cfg.Pinned {
		if p.identity, err = p.identify(); err != nil {
			p.Close()
			return p, Explain("preparing to pin", err)
		}
	}
	return p, nil
}

// choose takes a way for every hook that applies.
func (p *Plan) choose(ctx context.Context) *Problem {
	for _, hook := range p.cfg.Spec.Hooks {
		if !p.cfg.Wanted(hook.When, hook.Unless) {
			continue
		}
		c := &choice{hook: hook, state: HookState{Name: hook.Name}}
		p.hooks = append(p.hooks, c)
		if err := c.name(p.obj); err != nil {
			return Explain("choosing programs", err)
		}
		if problem := p.settle(ctx, c); problem != nil {
			return problem
		}
	}
	return nil
}

// name lists the places that would serve.
func (c *choice) name(obj *ebpf.CollectionSpec) error {
	for _, w := range c.hook.Ways {
		if (w.Source == nil) == (len(w.Programs) == 0) {
			return fmt.Errorf("hook %s: a way has either programs or a source", c.hook.Name)
		}
		for _, name := range w.Programs {
			if obj.Programs[name] == nil {
				return fmt.Errorf("hook %s: the object has no program %s", c.hook.Name, name)
			}
		}
		if at := (way{w}).at(obj); !slices.Contains(c.state.AnyOf, at) {
			c.state.AnyOf = append(c.state.AnyOf, at)
		}
	}
	return nil
}

// settle takes the first way, from the present one on, that works as far as can
// be known before it is tried. If none is left the hook is absent, or there is a
// problem.
func (p *Plan) settle(ctx context.Context, c *choice) *Problem {
	for ; c.way < len(c.hook.Ways); c.way++ {
		w := way{c.hook.Ways[c.way]}
		finding := kernel.Finding{Answer: kernel.Yes}
		var program string
		if w.Source != nil {
			finding = p.open(ctx, c, w.Source)
		} else {
			program, finding = p.possible(w)
		}
		if finding.Answer != kernel.No {
			c.take(w, p.obj)
			return nil
		}
		if finding.Denied && !c.denied {
			c.remedy, c.denied = "", true
		}
		c.reject(Rejection{Program: program, Attach: w.at(p.obj), Reason: finding.Reason}, finding.Remedy)
	}
	c.state.Programs, c.state.Attach, c.state.Without = nil, "", ""
	if c.hook.Optional {
		c.state.Without = c.hook.Without
		return nil
	}
	return &Problem{
		Reason:      fmt.Sprintf("nowhere to observe %s: %s", c.hook.Name, c.state.reasons()),
		Remedy:      c.remedy,
		Unsupported: !c.denied && !c.broken,
		Denied:      c.denied,
		Waits:       c.waits,
		Passes:      c.broken && !c.hangs,
		Hook:        &c.state,
		Option:      c.hook.When,
	}
}

// take notes the way that the hook takes.
func (c *choice) take(w way, obj *ebpf.CollectionSpec) {
	c.state.Programs, c.state.Attach, c.state.Without = w.Programs, w.at(obj), w.Without
}

func (c *choice) reject(r Rejection, remedy string) {
	c.state.Rejected = append(c.state.Rejected, r)
	c.remedy = cmp.Or(c.remedy, remedy)
}

// possible says whether this machine can run all programs of a way, or else
// names the first that it cannot. An inconclusive answer is no obstacle: the
// kernel itself decides at load.
func (p *Plan) possible(w way) (program string, f kernel.Finding) {
	if w.Types {
		if f := p.ask.moduleTypes(); f.Answer != kernel.Yes {
			f.Answer = kernel.No
			return w.Programs[0], f
		}
	}
	for _, name := range w.Programs {
		if f := p.ask.program(p.obj.Programs[name]); f.Answer == kernel.No {
			return name, f
		}
	}
	return "", kernel.Finding{Answer: kernel.Yes}
}

// open opens a source, if it counts the right thing on this kernel. An
// inconclusive answer rejects the source: a wrong count is worse than none.
func (p *Plan) open(ctx context.Context, c *choice, s *collector.Source) kernel.Finding {
	if s.Enumerator != "" {
		if f := p.ask.enumerator(s.Enum, s.Enumerator); f.Answer != kernel.Yes {
			if f.Answer == kernel.No {
				f.Reason = s.Otherwise
			}
			f.Answer = kernel.No
			return f
		}
	}
	reader, err := openSource(ctx, s, p.cfg.Privileged)
	if err != nil {
		absent := errors.Is(err, fs.ErrNotExist)
		c.waits, c.broken, c.hangs = c.waits || absent, c.broken || !absent, c.hangs || errors.Is(err, errHangs)
		f := kernel.Finding{Answer: kernel.No, Reason: oneLine(err), Denied: isRefused(err)}
		if f.Denied {
			f.Remedy = permitting(Reading(err, heldFor(p.cfg.Spec)...))
		}
		return f
	}
	c.reader = reader
	return kernel.Finding{Answer: kernel.Yes}
}

// heldFor returns the capabilities that the collector's sources take.
func heldFor(spec collector.Spec) (names []string) {
	for _, n := range spec.Needs {
		names = append(names, n.Capabilities...)
	}
	return names
}

// Object returns the object that will be loaded, which describes its maps.
func (p *Plan) Object() *ebpf.CollectionSpec { return p.obj }

// Close lets go of the sources that were opened.
func (p *Plan) Close() {
	for _, c := range p.hooks {
		if c.reader != nil {
			c.reader.Close()
			c.reader = nil
		}
	}
}

// States returns what has been decided: the hooks that are observed, and those
// that are absent.
func (p *Plan) States() (taken, absent []HookState) {
	for _, c := range p.hooks {
		if c.hook.Optional && c.state.Attach == "" {
			absent = append(absent, c.state)
		} else {
			taken = append(taken, c.state)
		}
	}
	return taken, absent
}

// way is a way with what is asked of it.
type way struct{ collector.Way }

// at says where the way attaches, as sections' names say it.
func (w way) at(obj *ebpf.CollectionSpec) string {
	if w.Source != nil {
		return w.Source.From
	}
	at := make([]string, len(w.Programs))
	for i, name := range w.Programs {
		at[i] = obj.Programs[name].SectionName
	}
	return strings.Join(at, " and ")
}
