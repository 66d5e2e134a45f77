// SPDX-License-Identifier: Apache-2.0

package table

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
)

// Reserve creates the overflow rows of a new map, of this definition. It must be
// called before a program runs that may fill the map. Open takes them as given.
func Reserve(spec collector.Table, def *ebpf.MapSpec, m *ebpf.Map) error {
	if spec.Overflow == nil {
		return nil
	}
	keys, err := newLayout(spec, def)
	if err != nil {
		return fmt.Errorf("map %s: %w", spec.Map, err)
	}
	rows, err := newRaw(m)
	if err != nil {
		return fmt.Errorf("map %s: %w", spec.Map, err)
	}
	zero := rows.zero()
	for key := range keys.overflow {
		if err := m.Update([]byte(key), zero, ebpf.UpdateNoExist); err != nil {
			return fmt.Errorf("map %s: reserving an overflow row: %w", spec.Map, err)
		}
	}
	return nil
}

// zero returns a value of zeros, as an update takes it.
func (r *raw) zero() any {
	value := make([]byte, r.m.ValueSize())
	if !r.perCPU {
		return value
	}
	values := make([][]byte, r.cpus)
	for i := range values {
		values[i] = value
	}
	return values
}

// lost sums up the overflow rows by reason. A table that has only one has that of
// its spec.
func (l *layout) lost(rows []rawRow, reason string) map[string]uint64 {
	lost := make(map[string]uint64)
	for _, r := range rows {
		lost[cmp.Or(l.overflow[string(r.key)], reason)] += r.words[0]
	}
	return lost
}

// refused sums up what overflow rows have counted for lack of room: in all, and of
// that in the share of whoever came. No memory, or a map that is busy, is no lack
// of room.
func (l *layout) refused(rows []rawRow) (all, shares uint64) {
	for _, r := range rows {
		reason := l.overflow[string(r.key)]
		if !slices.Contains([]string{"", "map_full", "share_full"}, reason) {
			continue
		}
		for _, n := range r.words {
			all += n
			if reason == "share_full" {
				shares += n
			}
		}
	}
	return all, shares
}

// crowding is what is known of events that found no room.
type crowding struct {
	lost uint64 // until the last reading
	last uint64 // when some did, in nanoseconds since boot; 0 if that is over
}

// crowdedFor is how long a table is full after an event found no room: longer
// than two readings are apart.
const crowdedFor = 120e9

// read notes what found no room until now, and says whether the table is full,
// and whether that is new.
func (c *crowding) read(lost, now uint64) (full, changed bool) {
	before := c.last != 0
	switch {
	case lost > c.lost:
		c.last = max(now, 1)
	case now > c.last+crowdedFor:
		c.last = 0
	}
	c.lost = lost
	full = c.last != 0
	return full, full != before
}
