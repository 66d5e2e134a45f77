// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// unit is one collector at work.
type unit struct {
	spec    collector.Spec
	hooks   []HookState
	problem *Problem                // nil if it was attached
	unread  atomic.Pointer[Problem] // why the last reading failed; nil if it did not
	started time.Time

	coll     *ebpf.Collection
	links    []io.Closer // a link that is not referenced detaches
	sources  []*source
	tables   map[string]*table
	reserved map[string]map[string]bool
	readers  []*reader
	losses   []loss
	ratios   []*ratio

	mu sync.Mutex // tables, decoders and ratios serve one reader at a time

	// What ends the windows of ratios.
	unwatch  context.CancelFunc
	watchers sync.WaitGroup
}

// loss is one reason for which events are lost.
type loss struct {
	variable *ebpf.Variable
	word     int
	reason   string
}

// start loads and attaches a collector. It always returns a unit: one that
// could not start has a problem and holds nothing of the kernel's.
func start(spec collector.Spec, cfg *Config) *unit {
	u := &unit{spec: spec, tables: make(map[string]*table)}
	if problem := u.bringUp(cfg); problem != nil {
		u.close()
		u.problem = problem
	}
	return u
}

func (u *unit) bringUp(cfg *Config) *Problem {
	for _, f := range []kernel.Finding{cfg.Machine.Access(), cfg.Machine.Types()} {
		if f.Answer == kernel.No {
			return &Problem{Status: Unsupported, Reason: f.Reason, Remedy: f.Remedy}
		}
	}
	obj, err := u.spec.Load()
	if err != nil {
		return explain("parsing the object", err)
	}
	on := func(option string) bool { return option == "" || cfg.on(u.spec.Name, option) }
	hooks, problem, err := choose(u.spec.Hooks, obj, on, cfg.Machine)
	u.hooks = hooks
	if err != nil {
		return explain("choosing programs", err)
	}
	if problem != nil {
		return problem
	}
	prune(obj, hooks)
	if err := configure(u.spec, obj, cfg); err != nil {
		return explain("configuring", err)
	}
	if u.coll, err = load(obj, cfg.Machine); err != nil {
		return explain("loading", err)
	}
	if err := u.prepare(obj, cfg.Layout, on); err != nil {
		return explain("preparing to read", err)
	}
	for _, hook := range hooks {
		if hook.source != nil {
			continue
		}
		l, err := attach(obj.Programs[hook.Program], u.coll.Programs[hook.Program])
		if err != nil {
			return explain("attaching "+hook.Attach, err)
		}
		u.links = append(u.links, l)
	}
	u.started = time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	u.unwatch = cancel
	for _, r := range u.ratios {
		u.endWindow(ctx, r)
		u.watchers.Go(func() { u.watch(ctx, r) })
	}
	return nil
}

// prepare resolves everything that reading needs, so that a mistake in a spec
// shows at start and not at the first scrape.
func (u *unit) prepare(obj *ebpf.CollectionSpec, layout *metric.Layout, on func(string) bool) error {
	var err error
	if u.reserved, err = reserve(u.spec.Maps, obj, u.coll); err != nil {
		return err
	}
	served, err := u.findSources(layout)
	if err != nil {
		return err
	}
	for _, m := range u.spec.Metrics {
		if !on(m.When) || served[m.Name] {
			continue
		}
		if m.Kind == collector.Ratio {
			u.ratios = append(u.ratios, newRatio(m))
			continue
		}
		loaded := u.coll.Maps[m.Map]
		if loaded == nil {
			return fmt.Errorf("metric %s: no program in use fills map %s", m.Name, m.Map)
		}
		r, err := newReader(m, obj.Maps[m.Map], layout)
		if err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
		u.readers = append(u.readers, r)
		if u.tables[m.Map] != nil {
			continue
		}
		if u.tables[m.Map], err = newTable(loaded); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	// Hashes that serve no metric are read for their number of entries.
	for name, m := range u.coll.Maps {
		if isHash(m.Type()) && u.tables[name] == nil {
			if u.tables[name], err = newTable(m); err != nil {
				return err
			}
		}
	}
	return u.findLosses()
}

// findSources lists the sources in use and the names of what they serve.
func (u *unit) findSources(layout *metric.Layout) (served map[string]bool, err error) {
	served = make(map[string]bool)
	for _, hook := range u.hooks {
		if hook.source == nil {
			continue
		}
		src, err := newSource(hook.source, u.spec.Metrics, layout)
		if err != nil {
			return nil, fmt.Errorf("hook %s: %w", hook.Name, err)
		}
		u.sources = append(u.sources, src)
		for _, name := range hook.source.Metrics {
			served[name] = true
		}
	}
	return served, nil
}

// findLosses lists the members of the object's variable "losses", a struct of
// counters, one for each reason to lose an event.
func (u *unit) findLosses() error {
	v := u.coll.Variables["losses"]
	if v == nil {
		return nil
	}
	reasons, ok := btf.UnderlyingType(v.Type().Type).(*btf.Struct)
	if !ok {
		return errors.New("the variable losses is no struct")
	}
	for _, m := range reasons.Members {
		at, err := find(reasons, m.Name)
		if err != nil {
			return err
		}
		if n, err := at.words(); err != nil || n != 1 {
			return fmt.Errorf("losses.%s is no counter", m.Name)
		}
		u.losses = append(u.losses, loss{variable: v, word: at.offset / 8, reason: m.Name})
	}
	return nil
}

// close detaches the collector and frees what it holds in the kernel.
func (u *unit) close() {
	if u.unwatch != nil {
		u.unwatch()
		u.watchers.Wait()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.links {
		l.Close()
	}
	if u.coll != nil {
		u.coll.Close()
	}
	u.links, u.sources, u.coll, u.readers = nil, nil, nil, nil
}

// reading is what one look at a collector yields.
type reading struct {
	families []metric.Family
	rows     map[string]int // of each map that was read
	own      ownMetrics
	err      error
	took     time.Duration
}

// read yields the collector's families and those about it. Every map and
// source is read once.
func (u *unit) read(ctx context.Context) *reading {
	u.mu.Lock()
	defer u.mu.Unlock()
	begin := time.Now()
	out := &reading{rows: make(map[string]int)}
	if u.coll != nil {
		u.readAll(ctx, out)
	}
	out.took = time.Since(begin)
	u.unread.Store(nil)
	if out.err != nil {
		u.unread.Store(explain("reading", out.err))
	}
	out.own.add(u, out)
	return out
}

func (u *unit) readAll(ctx context.Context, out *reading) {
	for _, l := range u.links {
		if perf, ok := l.(*everyCPU); ok {
			out.err = errors.Join(out.err, perf.follow())
		}
	}
	rows := make(map[string][]row)
	for name, t := range u.tables {
		read, err := t.rows()
		if err != nil {
			out.err = errors.Join(out.err, err)
			continue
		}
		rows[name] = read
		out.rows[name] = len(read)
	}
	byName := make(map[string]int)
	for _, r := range u.readers {
		at, ok := byName[r.family.Name]
		if !ok {
			at = len(out.families)
			byName[r.family.Name] = at
			out.families = append(out.families, r.family)
			out.families[at].Created = u.started
		}
		f := &out.families[at]
		f.Samples = r.samples(f.Samples, rows[r.table], u.reserved[r.table])
	}
	for _, s := range u.sources {
		families, err := s.read(ctx)
		out.err = errors.Join(out.err, err)
		out.families = append(out.families, families...)
	}
	for i := range out.families {
		out.families[i].Samples = sumEqual(out.families[i].Samples)
	}
	for _, r := range u.ratios {
		out.families = append(out.families, r.latest)
	}
}

func (u *unit) state() State {
	s := State{Collector: u.spec.Name, Status: Running, Hooks: u.hooks}
	if p := cmp.Or(u.problem, u.unread.Load()); p != nil {
		s.Status, s.Reason, s.Remedy, s.Detail = p.Status, p.Reason, p.Remedy, p.Detail
	}
	return s
}
