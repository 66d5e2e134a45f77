// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/internal/metric"
)

// ownMetrics gathers kernscope's metrics about its collectors, in the order in
// which they are first mentioned.
type ownMetrics struct {
	list []metric.Family
}

func (o *ownMetrics) put(typ metric.Type, name, help string, value float64, labels ...string) {
	at := slices.IndexFunc(o.list, func(f metric.Family) bool { return f.Name == name })
	if at < 0 {
		at = len(o.list)
		o.list = append(o.list, metric.Family{Name: name, Help: help, Type: typ, Labels: every2nd(labels)})
	}
	o.list[at].Samples = append(o.list[at].Samples, metric.Sample{Labels: every2nd(labels[1:]), Value: value})
}

// every2nd are the names, or from the second on the values, of labels that
// stand in turn.
func every2nd(labels []string) []string {
	list := make([]string, 0, (len(labels)+1)/2)
	for i := 0; i < len(labels); i += 2 {
		list = append(list, labels[i])
	}
	return list
}

// merge adds what was said of another collector.
func (o *ownMetrics) merge(other ownMetrics) {
	for _, f := range other.list {
		at := slices.IndexFunc(o.list, func(mine metric.Family) bool { return mine.Name == f.Name })
		if at < 0 {
			f.Samples = slices.Clone(f.Samples) // concurrent scrapes share the other's
			o.list = append(o.list, f)
			continue
		}
		o.list[at].Samples = append(o.list[at].Samples, f.Samples...)
	}
}

// add reports on a collector, which is locked, and its last reading.
func (o *ownMetrics) add(u *unit, read *reading) {
	name := u.spec.Name
	state := u.state()
	success := 0.0
	if state.Status == Running {
		success = 1
	}
	o.put(metric.Gauge, "kernscope_collector_success",
		"Whether the collector is attached and was read without error.", success, "collector", name)
	o.put(metric.Gauge, "kernscope_collector_info",
		"How the collector fares: running, unsupported (the machine lacks what it needs) or failed, and why.",
		1, "collector", name, "status", string(state.Status), "reason", state.Reason)
	if u.coll == nil {
		return
	}
	o.put(metric.Gauge, "kernscope_collector_duration_seconds",
		"Time it took to read the collector's maps.", read.took.Seconds(), "collector", name)
	if u.pins != nil {
		adopted := 0.0
		if u.pins.adopted() {
			adopted = 1
		}
		o.put(metric.Gauge, "kernscope_collector_adopted",
			"Whether the collector has gone on counting since an earlier process pinned it (1) or began with this process (0).",
			adopted, "collector", name)
	}
	series := 0
	for _, f := range read.families {
		series += len(f.Samples)
	}
	o.put(metric.Gauge, "kernscope_collector_samples",
		"Samples the collector served; a histogram is one.", float64(series), "collector", name)
	for _, h := range u.hooks {
		o.put(metric.Gauge, "kernscope_hook_info",
			"Where the collector is attached on this kernel.", 1,
			"collector", name, "hook", h.Name, "program", h.Program, "attached", h.Attach)
	}
	o.addPrograms(u)
	o.addMaps(u, read)
	o.addLosses(u, read)
}

func (o *ownMetrics) addPrograms(u *unit) {
	for _, h := range u.hooks {
		if h.Program == "" {
			continue // a source runs no program
		}
		stats, err := u.coll.Programs[h.Program].Stats()
		if err != nil {
			continue // before Linux 5.12 without CAP_SYS_ADMIN; the rest still stands
		}
		labels := []string{"collector", u.spec.Name, "program", h.Program}
		o.put(metric.Counter, "kernscope_program_runs_total",
			"Runs of the program while BPF statistics were on (sysctl kernel.bpf_stats_enabled).",
			float64(stats.RunCount), labels...)
		o.put(metric.Counter, "kernscope_program_run_seconds_total",
			"Time spent in the program while BPF statistics were on.",
			stats.Runtime.Seconds(), labels...)
		o.put(metric.Counter, "kernscope_program_recursion_misses_total",
			"Events the kernel did not show to the program because it interrupted itself (counted since Linux 5.12).",
			float64(stats.RecursionMisses), labels...)
	}
}

func (o *ownMetrics) addMaps(u *unit, read *reading) {
	names := make([]string, 0, len(u.coll.Maps))
	for name := range u.coll.Maps {
		if !strings.HasPrefix(name, ".") { // sections of variables
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		m := u.coll.Maps[name]
		labels := []string{"collector", u.spec.Name, "map", name}
		// Other maps are always full, or belong to the tasks.
		if entries, ok := read.rows[name]; ok && isHash(m.Type()) {
			o.put(metric.Gauge, "kernscope_map_entries", "Entries in the map.", float64(entries), labels...)
			o.put(metric.Gauge, "kernscope_map_capacity", "Entries the map can hold.", float64(m.MaxEntries()), labels...)
		}
		if bytes, ok := u.memory(name); ok {
			o.put(metric.Gauge, "kernscope_map_bytes", "Kernel memory of the map, as the kernel accounts for it.", float64(bytes), labels...)
		}
	}
}

func (o *ownMetrics) addLosses(u *unit, read *reading) {
	lost := func(reason string, n uint64) {
		o.put(metric.Counter, "kernscope_lost_events_total",
			"Events that a program saw and could not count where they belong, by reason.",
			float64(n), "collector", u.spec.Name, "reason", reason)
	}
	for _, reason := range slices.Sorted(maps.Keys(read.lost)) {
		lost(reason, read.lost[reason])
	}
	if u.losses.section == nil {
		return
	}
	section, err := u.losses.section.LookupBytes(uint32(0))
	if err != nil {
		return
	}
	for _, l := range u.losses.reasons {
		lost(l.name, binary.NativeEndian.Uint64(section[l.offset:]))
	}
}
