// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/metric"
	"github.com/kernscope/kernscope/internal/table"
)

// selfMetrics gathers kernscope's metrics about its collectors, in the order in
// which they are first mentioned.
type selfMetrics struct {
	list []metric.Family
}

func (s *selfMetrics) put(typ metric.Type, name, help string, value float64, labels ...string) {
	at := slices.IndexFunc(s.list, func(f metric.Family) bool { return f.Name == name })
	if at < 0 {
		at = len(s.list)
		s.list = append(s.list, metric.Family{Name: name, Help: help, Type: typ, Labels: every2nd(labels)})
	}
	s.list[at].Samples = append(s.list[at].Samples, metric.Sample{Labels: every2nd(labels[1:]), Value: value})
}

// every2nd returns the names, or from the second on the values, of labels that
// stand in turn.
func every2nd(labels []string) []string {
	list := make([]string, 0, (len(labels)+1)/2)
	for i := 0; i < len(labels); i += 2 {
		list = append(list, labels[i])
	}
	return list
}

// merge adds what was said of another collector.
func (s *selfMetrics) merge(other selfMetrics) {
	for _, f := range other.list {
		at := slices.IndexFunc(s.list, func(mine metric.Family) bool { return mine.Name == f.Name })
		if at < 0 {
			f.Samples = slices.Clone(f.Samples) // concurrent scrapes share the other's
			s.list = append(s.list, f)
			continue
		}
		s.list[at].Samples = append(s.list[at].Samples, f.Samples...)
	}
}

// addState reports how a collector fares.
func (s *selfMetrics) addState(state State) {
	success := 0.0
	if state.Status == Running {
		success = 1
	}
	s.put(metric.Gauge, "kernscope_collector_success",
		"Whether the collector is attached and was read without error.", success, "collector", state.Collector)
	s.put(metric.Gauge, "kernscope_collector_info",
		"How the collector fares: running, waiting (for its module or file), unsupported (the machine lacks what it needs), denied (the kernel does not permit it to this process), failed or stopped, and why.",
		1, "collector", state.Collector, "status", string(state.Status), "reason", strings.ToValidUTF8(state.Reason, "\uFFFD"))
}

// add reports on a collector that is attached, which is locked, and its last
// reading.
func (s *selfMetrics) add(u *unit, read *reading) {
	name := u.spec.Name
	s.put(metric.Gauge, "kernscope_collector_duration_seconds",
		"Time it took to read the collector's maps.", read.took.Seconds(), "collector", name)
	if u.share != nil {
		adopted := 0.0
		if u.maps.Adopted() {
			adopted = 1
		}
		s.put(metric.Gauge, "kernscope_collector_adopted",
			"Whether the collector has gone on counting since an earlier process pinned it (1) or began with this process (0).",
			adopted, "collector", name)
	}
	series := 0
	for _, f := range read.families {
		series += len(f.Samples)
	}
	s.put(metric.Gauge, "kernscope_collector_samples",
		"Samples the collector served; a histogram is one.", float64(series), "collector", name)
	for _, h := range u.session.set.Hooks {
		s.addHook(name, h)
	}
	s.addPrograms(u)
	s.addMaps(u, read)
	s.addTables(u, read)
	s.addLosses(u, read)
}

// addHook reports where a hook is attached: a sample for each program, or one
// for a source.
func (s *selfMetrics) addHook(name string, h attach.HookState) {
	places := strings.Split(h.Attach, " and ")
	for i, program := range append(h.Programs, "")[:max(1, len(h.Programs))] {
		s.put(metric.Gauge, "kernscope_hook_info",
			"Where the collector is attached on this kernel.", 1,
			"collector", name, "hook", h.Name, "program", program, "attached", places[i])
	}
}

func (s *selfMetrics) addPrograms(u *unit) {
	for _, h := range u.session.set.Hooks {
		for _, program := range h.Programs {
			stats, err := u.session.set.Program(program).Stats()
			if err != nil {
				continue // before Linux 5.12 without CAP_SYS_ADMIN; the rest still stands
			}
			labels := []string{"collector", u.spec.Name, "program", program}
			s.put(metric.Counter, "kernscope_program_runs_total",
				"Runs of the program while BPF statistics were on (sysctl kernel.bpf_stats_enabled).",
				float64(stats.RunCount), labels...)
			s.put(metric.Counter, "kernscope_program_run_seconds_total",
				"Time spent in the program while BPF statistics were on.",
				stats.Runtime.Seconds(), labels...)
			s.put(metric.Counter, "kernscope_program_recursion_misses_total",
				"Events that the kernel did not deliver to the program because the program interrupted itself (counted since Linux 5.12).",
				float64(stats.RecursionMisses), labels...)
		}
	}
}

func (s *selfMetrics) addMaps(u *unit, read *reading) {
	for _, name := range u.maps.Names() {
		m := u.maps.Get(name)
		labels := []string{"collector", u.spec.Name, "map", name}
		// Other maps are always full, or belong to the tasks.
		if t, ok := read.tables[name]; ok && table.IsHash(m.Type()) {
			s.put(metric.Gauge, "kernscope_map_entries", "Entries in the map.", float64(t.Entries), labels...)
			s.put(metric.Gauge, "kernscope_map_capacity", "Entries the map can hold.", float64(m.MaxEntries()), labels...)
		}
		if bytes, ok := u.maps.Bytes(name); ok {
			s.put(metric.Gauge, "kernscope_map_bytes", "Kernel memory of the map, as the kernel accounts for it.", float64(bytes), labels...)
		}
	}
}

// addTables reports how full each table is that may be full.
func (s *selfMetrics) addTables(u *unit, read *reading) {
	for _, name := range slices.Sorted(maps.Keys(read.tables)) {
		if u.spec.Table(name).Overflow == nil {
			continue
		}
		labels := []string{"collector", u.spec.Name, "table", name}
		full := 0.0
		if read.tables[name].Full {
			full = 1
		}
		s.put(metric.Gauge, "kernscope_table_full",
			"Whether events found no room in the table within the last two minutes; they count as other.", full, labels...)
		if limit := u.session.tables[name].Limit(); limit > 0 {
			s.put(metric.Gauge, "kernscope_table_rows", "Rows of the table that have a name.", float64(read.tables[name].Names), labels...)
			s.put(metric.Gauge, "kernscope_table_limit", "Rows of the table that may have a name.", float64(limit), labels...)
		}
	}
}

func (s *selfMetrics) addLosses(u *unit, read *reading) {
	total := maps.Clone(read.lost)
	for _, l := range read.losses {
		total[l.name] += l.lost
	}
	for _, reason := range slices.Sorted(maps.Keys(total)) {
		s.put(metric.Counter, "kernscope_lost_events_total",
			"Events that a program saw and could not count where they belong, by reason.",
			float64(total[reason]), "collector", u.spec.Name, "reason", reason)
	}
}
