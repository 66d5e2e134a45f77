// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// unit is one collector at work.
type unit struct {
	spec    collector.Spec
	hooks   []HookState
	absent  []HookState             // optional ones, without a place here
	problem *Problem                // nil if it was attached
	unread  atomic.Pointer[Problem] // why the last reading failed; nil if it did not
	started time.Time

	coll     *ebpf.Collection
	links    map[string]attachment // by program
	sources  []*source
	tables   map[string]*table
	owned    map[string]*owned
	reserved map[string]map[string]bool
	readers  []*reader
	losses   losses
	ratios   []*ratio
	fixed    map[string]uint64 // bytes of maps that have all their memory from the start

	mu sync.Mutex // tables, decoders and ratios serve one reader at a time

	pins *pinning // nil if it is not to be pinned

	// What ends the windows of ratios.
	unwatch  context.CancelFunc
	watchers sync.WaitGroup
}

// losses are the reasons for which events are lost, as an object counts them.
type losses struct {
	section *ebpf.Map // the variables the counters are among; nil if there are none
	reasons []loss
}

// loss is one reason.
type loss struct {
	offset int // of the counter in the section
	name   string
}

// start loads and attaches a collector. It always returns a unit: one that
// could not start has a problem and holds nothing of the kernel's.
func start(spec collector.Spec, cfg *Config) *unit {
	u := &unit{spec: spec, links: make(map[string]attachment), tables: make(map[string]*table), fixed: make(map[string]uint64)}
	if cfg.Pins != nil {
		u.pins = newPinning(cfg.Pins, spec.Name)
	}
	if problem := u.bringUp(cfg); problem != nil {
		u.release()
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
	hooks, absent, problem, err := choose(u.spec.Hooks, obj, on, cfg.Machine)
	u.hooks, u.absent = hooks, absent
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
	adopted, err := u.adopt(obj)
	if err != nil {
		return explain("adopting", err)
	}
	if !adopted {
		if u.coll, err = load(obj, cfg.Machine); err != nil {
			return explain("loading", err)
		}
	}
	if err := u.prepare(obj, cfg, on); err != nil {
		return explain("preparing to read", err)
	}
	if !adopted {
		if problem := u.attach(obj); problem != nil {
			return problem
		}
		u.started = time.Now()
	}
	u.watchRatios(cfg.Window)
	return nil
}

func (u *unit) attach(obj *ebpf.CollectionSpec) *Problem {
	for _, hook := range u.hooks {
		if hook.source != nil {
			continue
		}
		a, err := attach(obj.Programs[hook.Program], u.coll.Programs[hook.Program])
		if err != nil {
			return explain("attaching "+hook.Attach, err)
		}
		u.links[hook.Program] = a
	}
	return nil
}

// prepare resolves everything that reading needs, so that a mistake in a spec
// shows at start and not at the first scrape.
func (u *unit) prepare(obj *ebpf.CollectionSpec, cfg *Config, on func(string) bool) error {
	var err error
	if u.reserved, err = reserve(u.spec.Maps, obj, u.coll); err != nil {
		return err
	}
	served, err := u.findSources(cfg.Layout)
	if err != nil {
		return err
	}
	if err := u.findOwned(obj); err != nil {
		return err
	}
	for _, m := range u.spec.Metrics {
		if !wanted(m.When, m.Unless, on) || served[m.Name] {
			continue
		}
		if m.Kind == collector.Ratio {
			u.ratios = append(u.ratios, newRatio(m, cfg.Window))
			continue
		}
		loaded := u.coll.Maps[m.Map]
		if loaded == nil {
			return fmt.Errorf("metric %s: no program in use fills map %s", m.Name, m.Map)
		}
		r, err := newReader(m, obj.Maps[m.Map], u.owned[m.Map], cfg.Layout)
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
	return u.findLosses(obj)
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
func (u *unit) findLosses(obj *ebpf.CollectionSpec) error {
	v := obj.Variables["losses"]
	if v == nil {
		return nil
	}
	reasons, ok := btf.UnderlyingType(v.Type.Type).(*btf.Struct)
	if !ok {
		return errors.New("the variable losses is no struct")
	}
	u.losses.section = u.coll.Maps[v.SectionName]
	for _, m := range reasons.Members {
		at, err := find(reasons, m.Name)
		if err != nil {
			return err
		}
		if n, err := at.words(); err != nil || n != 1 {
			return fmt.Errorf("losses.%s is no counter", m.Name)
		}
		u.losses.reasons = append(u.losses.reasons, loss{offset: int(v.Offset) + at.offset, name: m.Name})
	}
	return nil
}

// close stops reading and lets go of the collector: what is not pinned is
// detached and freed.
func (u *unit) close() {
	if u.unwatch != nil {
		u.unwatch()
		u.watchers.Wait()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.release()
	u.pins.close()
}

// release lets go of what the collector holds in the kernel.
func (u *unit) release() {
	for _, a := range u.links {
		a.Close()
	}
	clear(u.links)
	for _, o := range u.owned {
		o.done.close()
	}
	u.owned = nil
	if u.coll != nil {
		u.coll.Close()
	}
	u.coll, u.sources, u.readers = nil, nil, nil
}

// reading is what one look at a collector yields.
type reading struct {
	families []metric.Family
	rows     map[string]int    // of each map that was read
	lost     map[string]uint64 // what rows for what did not fit hold, by reason
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
	out := &reading{rows: make(map[string]int), lost: make(map[string]uint64)}
	if u.coll != nil {
		u.readAll(ctx, out)
	}
	out.took = time.Since(begin)
	var problem *Problem
	if out.err != nil {
		problem = explain("reading", out.err)
	}
	u.unread.Store(problem) // once: nobody sees it running in between
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
		if o := u.owned[name]; o != nil {
			read, err = o.settle(read, u.reserved[name])
			out.err = errors.Join(out.err, err)
		}
		rows[name] = read
		out.rows[name] = len(read)
	}
	for _, m := range u.spec.Maps {
		if read, ok := rows[m.Name]; ok && m.Loss != "" {
			out.lost[m.Loss] += u.owned[m.Name].others(read, u.reserved[m.Name])
		}
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

// memory is the kernel memory of a map in bytes, if the kernel says. It is read
// from a file that is slow to make, so what does not change is kept.
func (u *unit) memory(name string) (bytes uint64, ok bool) {
	if bytes, ok = u.fixed[name]; ok {
		return bytes, true
	}
	m := u.coll.Maps[name]
	info, err := m.Info()
	if err != nil {
		return 0, false
	}
	if bytes, ok = info.Memlock(); ok && m.Flags()&unix.BPF_F_NO_PREALLOC == 0 {
		u.fixed[name] = bytes
	}
	return bytes, ok
}

func (u *unit) state() State {
	s := State{Collector: u.spec.Name, Status: Running, Adopted: u.pins.adopted(), Hooks: u.hooks, Absent: u.absent}
	if p := cmp.Or(u.problem, u.unread.Load()); p != nil {
		s.Status, s.Reason, s.Remedy, s.Detail = p.Status, p.Reason, p.Remedy, p.Detail
	}
	return s
}
