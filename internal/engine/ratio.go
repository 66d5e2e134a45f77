// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// ratio is what part had of the growth of the whole in the last full window.
// The engine ends windows by its own clock, so that the value is the same for
// every scraper, whenever it comes.
type ratio struct {
	spec collector.Metric
	// part and whole are the names of the families, in the user's unit.
	part  string
	whole []string
	// before is where the counters stood when the last window ended, by label
	// values; nil if that is not known.
	before map[string]growth
	latest metric.Family
}

type growth struct {
	part, whole float64
}

// newRatio returns a ratio of the collector's metrics, of its own window or, if that
// is set, of another.
func newRatio(m collector.Metric, spec collector.Spec, unit metric.Unit, window time.Duration) *ratio {
	help := fmt.Sprintf("%s, in the last full %v; absent if there was nothing.", m.Help, cmp.Or(window, m.Window))
	r := &ratio{spec: m, latest: metric.Family{Name: m.Name, Help: help, Type: metric.Gauge}}
	for _, counter := range spec.Metrics {
		if counter.Name == m.Part {
			r.part = counter.FullName(unit.String())
		}
		if slices.Contains(m.Whole, counter.Name) {
			r.whole = append(r.whole, counter.FullName(unit.String()))
		}
	}
	return r
}

// turn ends a window: families are what the counters stand at.
func (r *ratio) turn(families []metric.Family) {
	now := make(map[string]growth)
	labels := make(map[string][]string)
	for _, f := range families {
		isPart, isWhole := f.Name == r.part, slices.Contains(r.whole, f.Name)
		if isPart {
			r.latest.Labels = f.Labels
		}
		if !isPart && !isWhole {
			continue
		}
		for _, s := range f.Samples {
			key := strings.Join(s.Labels, "\xff")
			labels[key] = s.Labels
			g := now[key]
			if isPart {
				g.part += s.Value
			}
			if isWhole {
				g.whole += s.Value
			}
			now[key] = g
		}
	}
	r.latest.Samples = nil
	for key, g := range now {
		before := r.before[key]
		// Nothing happened: there is no ratio, rather than one of 0 or 1.
		if r.before == nil || g.whole <= before.whole {
			continue
		}
		value := (g.part - before.part) / (g.whole - before.whole)
		r.latest.Samples = append(r.latest.Samples, metric.Sample{Labels: labels[key], Value: value})
	}
	r.before = now
}

// watchRatios begins the windows of the ratios. They end by themselves, unless
// all are to be one window that the engine's user ends. The unit is locked.
func (s *session) watchRatios(u *unit) {
	if len(s.ratios) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	read, err := s.look(u.maps.Created())
	for _, r := range s.ratios {
		r.end(read, err)
		if u.env.Window == 0 {
			go u.watch(ctx, s, r)
		}
	}
}

// watch ends the ratio's windows until ctx does.
func (u *unit) watch(ctx context.Context, s *session, r *ratio) {
	ticker := time.NewTicker(r.spec.Window)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		u.guard("ending a window", func() { u.endWindow(s, r) })
	}
}

// endWindow ends the window of a ratio, if the session still goes on.
func (u *unit) endWindow(s *session, r *ratio) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.session != s {
		return
	}
	r.end(u.look())
}

// endWindows ends the windows of all ratios.
func (u *unit) endWindows() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.session == nil || len(u.session.ratios) == 0 {
		return
	}
	read, err := u.look()
	if u.session == nil {
		return
	}
	for _, r := range u.session.ratios {
		r.end(read, err)
	}
}

// end ends a window with a reading.
func (r *ratio) end(read *reading, err error) {
	if err != nil {
		r.before, r.latest.Samples = nil, nil
		return
	}
	r.turn(read.families)
}
