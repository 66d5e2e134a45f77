// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/metric"
	"github.com/kernscope/kernscope/internal/table"
)

// reading is what one look at a collector yields.
type reading struct {
	families []metric.Family
	tables   map[string]table.Reading // by map
	lost     map[string]uint64        // what overflow rows hold, by reason
	losses   []lost                   // what the object counts as lost
	self     selfMetrics
	took     time.Duration
}

// read yields the collector's families and those about it. Every map and
// source is read once.
func (u *unit) read() (out *reading) {
	well := u.guard("reading", func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		out, _ = u.look()
	})
	if !well {
		out = new(reading)
		out.self.addState(u.status.get())
	}
	return out
}

// look reads the collector, which is locked.
func (u *unit) look() (*reading, error) {
	if state := u.status.get(); state.passes() {
		u.startAgain()
	}
	if u.session == nil {
		out := new(reading)
		out.self.addState(u.status.get())
		return out, nil
	}
	out, err := u.session.look(u.maps.Created())
	switch {
	case err == nil:
		u.status.read(nil)
	case u.lose(err):
		out.families = nil
	default:
		u.status.read(attach.Explain("reading", err))
	}
	out.self.addState(u.status.get())
	if u.session != nil {
		u.warn(out)
		err = errors.Join(err, attach.Safely(func() error {
			out.self.add(u, out)
			return nil
		}))
	}
	return out, err
}

// look reads the maps and sources, and leaves the collector's state as it is.
func (s *session) look(created time.Time) (*reading, error) {
	out := &reading{tables: make(map[string]table.Reading), lost: make(map[string]uint64)}
	begin := time.Now()
	err := attach.Safely(func() error { return s.read(context.Background(), created, out) })
	out.took = time.Since(begin)
	return out, err
}

// warn logs which tables events began to find no room in, and which have room
// again.
func (u *unit) warn(read *reading) {
	for _, name := range slices.Sorted(maps.Keys(read.tables)) {
		switch t := read.tables[name]; {
		case !t.Changed:
		case t.Full:
			remedy := "restart kernscope, which makes room for what is there by then"
			if bound := u.spec.Table(name).Bound; bound != nil {
				remedy = fmt.Sprintf("--collector.%s.%s raises the number of rows", u.spec.Name, bound.Option)
			}
			u.status.logger.Warn("Table is full: events count as other", "table", name, "rows", t.Names, "remedy", remedy)
		default:
			u.status.logger.Info("Table has room again", "table", name, "rows", t.Names)
		}
	}
}

// overdue returns what a collector serves whose reading does not end.
func (u *unit) overdue() *reading {
	u.status.read(&attach.Problem{
		Reason: fmt.Sprintf("reading has not ended after %v", readDeadline),
		Remedy: "see in the kernel's log whether something hangs; the collector goes on when its reading ends",
	})
	out := new(reading)
	out.self.addState(u.status.get())
	return out
}

// permitted returns the error with which the kernel refuses to let the
// collector's maps be read; nil if it does not.
func (u *unit) permitted() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.session == nil {
		return nil
	}
	return attach.Safely(u.session.permitted)
}
