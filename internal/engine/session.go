// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/table"
)

// session is one attached life of a unit: what is attached, and all that reading
// needs. It is built whole, replaced whole and closed whole.
type session struct {
	set     *attach.Set
	tables  map[string]*table.Table
	done    *table.Barrier // nil if no row ever goes
	columns []*column
	sources []*source
	losses  *losses
	ratios  []*ratio
	stop    context.CancelFunc // ends the windows of the ratios
	off     map[string]string  // options that do not work here, with the reason
}

// newSession resolves everything that reading needs, so that a mistake in a spec
// shows at start and not at the first scrape.
func newSession(u *unit, cfg attach.Config, obj *ebpf.CollectionSpec, set *attach.Set) (*session, error) {
	s := &session{set: set, tables: make(map[string]*table.Table), stop: func() {}}
	b := &builder{session: s, unit: u, cfg: cfg, obj: obj, served: make(map[string]bool)}
	if err := attach.Safely(b.build); err != nil {
		s.done.Close()
		return nil, err
	}
	return s, nil
}

// close ends the session. The maps stay.
func (s *session) close() {
	s.stop()
	s.done.Close()
	s.set.Close()
}

// builder makes a session.
type builder struct {
	session *session
	unit    *unit
	cfg     attach.Config
	obj     *ebpf.CollectionSpec
	served  map[string]bool // names of metrics that a source serves
}

func (b *builder) build() error {
	s, u := b.session, b.unit
	for _, opened := range s.set.Sources() {
		src, err := newSource(opened, u)
		if err != nil {
			return err
		}
		s.sources = append(s.sources, src)
		for _, name := range opened.Source.Metrics {
			b.served[name] = true
		}
	}
	for _, m := range u.spec.Metrics {
		if err := b.add(m); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	// Hashes that serve no metric are read for their number of entries.
	for _, name := range u.maps.Names() {
		if s.set.Uses(name) && table.IsHash(u.maps.Get(name).Type()) {
			if _, err := b.table(name); err != nil {
				return err
			}
		}
	}
	var err error
	s.losses, err = findLosses(b.obj, u.maps)
	return err
}

// add prepares a metric, if the options ask for it and something serves it.
func (b *builder) add(m collector.Metric) error {
	s, u := b.session, b.unit
	switch {
	case !b.cfg.Wanted(m.When, m.Unless) || b.served[m.Name]:
		return nil
	case m.Kind == collector.Ratio:
		s.ratios = append(s.ratios, newRatio(m, u.spec, u.env.Buckets.Unit(), u.env.Window))
		return nil
	case !s.set.Uses(m.Map) && b.isAbsent(m):
		return nil
	case !s.set.Uses(m.Map):
		return fmt.Errorf("no program in use fills map %s", m.Map)
	}
	t, err := b.table(m.Map)
	if err != nil {
		return err
	}
	c, err := newColumn(m, t, u.env.Buckets.Around(u.spec.Limits(m.Name)...))
	if err != nil {
		return err
	}
	s.columns = append(s.columns, c)
	return nil
}

// isAbsent reports whether only optional hooks that are absent would serve the
// metric.
func (b *builder) isAbsent(m collector.Metric) bool {
	for _, absent := range b.session.set.Absent {
		for _, hook := range b.unit.spec.Hooks {
			if hook.Name == absent.Name && serves(hook, b.obj, m) {
				return true
			}
		}
	}
	return false
}

// serves reports whether the hook serves the metric in one of its ways.
func serves(hook collector.Hook, obj *ebpf.CollectionSpec, m collector.Metric) bool {
	for _, w := range hook.Ways {
		if w.Source != nil && slices.Contains(w.Source.Metrics, m.Name) {
			return true
		}
	}
	return m.Map != "" && attach.Fills(hook, obj, m.Map)
}

// table opens the table of a map, once.
func (b *builder) table(name string) (*table.Table, error) {
	if t := b.session.tables[name]; t != nil {
		return t, nil
	}
	spec := b.unit.spec.Table(name)
	if len(spec.Companions()) > 0 && b.session.done == nil {
		var err error
		if b.session.done, err = table.NewBarrier(); err != nil {
			return nil, err
		}
	}
	t, err := table.Open(spec, b.obj.Maps[name], b.unit.maps.Get, b.session.done)
	if err != nil {
		return nil, err
	}
	b.session.tables[name] = t
	return t, nil
}

// read adds to a reading what the tables and sources have. A table or source
// that cannot be read leaves out its metrics.
func (s *session) read(ctx context.Context, created time.Time, out *reading) error {
	err := errors.Join(s.set.Follow(), s.set.Silenced())
	rows := make(map[string][]table.Row)
	for name, t := range s.tables {
		read, failed := t.Read()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("map %s: %w", name, attach.Reading(failed, "CAP_BPF")))
		}
		if read.Rows == nil {
			continue
		}
		rows[name], out.tables[name] = read.Rows, read
		for reason, n := range read.Lost {
			out.lost[reason] += n
		}
	}
	var failed error
	if out.losses, failed = s.losses.read(); failed != nil {
		err = errors.Join(err, attach.Reading(failed, "CAP_BPF"))
	}
	at := make(map[string]int)
	several := make(map[int]bool) // families whose samples may have equal labels
	for _, c := range s.columns {
		if rows[c.table] == nil {
			continue
		}
		i, ok := at[c.family.Name]
		if !ok {
			i = len(out.families)
			at[c.family.Name] = i
			out.families = append(out.families, c.family)
			out.families[i].Created = created
		}
		several[i] = ok || c.mayRepeat()
		f := &out.families[i]
		f.Samples = c.samples(f.Samples, rows[c.table])
	}
	for i := range several {
		if several[i] {
			out.families[i].Samples = sumEqual(out.families[i].Samples)
		}
	}
	for _, src := range s.sources {
		families, failed := src.read(ctx)
		err = errors.Join(err, failed)
		out.families = append(out.families, families...)
	}
	for _, r := range s.ratios {
		out.families = append(out.families, r.latest)
	}
	return err
}

// permitted looks at the maps and returns the error of the first that the
// kernel refuses to read.
func (s *session) permitted() error {
	for _, t := range s.tables {
		if err := t.Permitted(); err != nil {
			return err
		}
	}
	return nil
}
