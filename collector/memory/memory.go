// SPDX-License-Identifier: Apache-2.0

// Package memory counts page faults and page allocations: totals as
// /proc/vmstat has them, the latency of major faults, the sizes of
// allocations, and on request the faults of each process. The README beside it
// says what is counted and what is not.
package memory

import (
	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// Metrics that /proc/vmstat serves.
const (
	minors      = "ebpf_page_faults_minor_total"
	majors      = "ebpf_page_faults_major_total"
	allocations = "ebpf_page_allocations_total"
)

// Spec describes the collector.
func Spec() collector.Spec {
	return collector.Spec{
		Name: "memory",
		Help: "Page faults, the latency of major ones, and page allocations by size",
		Port: 9108,
		Load: loadMemory,
		Hooks: []collector.Hook{
			{Name: "minor faults", Ways: []collector.Way{
				{Source: &collector.Source{
					From: vmstatFile,
					// Kernels before 53156443a303 "mm: do not increment pgfault
					// stats when page fault handler retries" count a fault
					// once more whenever it had to wait. The enumerator came
					// with the same release, 6.4.
					Enum:       "fault_flag",
					Enumerator: "FAULT_FLAG_VMA_LOCK",
					Otherwise:  "this kernel counts a fault once more in pgfault each time it is tried again (before Linux 6.4)",
					Metrics:    []string{minors},
					Open:       openMinorFaults,
				}},
				{Programs: []string{"memory_minor"}},
			}},
			{Name: "major faults and allocated pages", Ways: []collector.Way{
				{Source: &collector.Source{From: vmstatFile, Metrics: []string{majors, allocations}, Open: openTotals}},
			}},
			{Name: "allocation", Ways: collector.By("memory_allocate")},
			{
				Name: "start of a fault in a file",
				Ways: collector.By("memory_begin_file", "memory_begin_file_fentry", "memory_begin_file_kprobe"),
			},
			{
				Name:     "start of a swap-in",
				Ways:     collector.By("memory_begin_swap_fentry", "memory_begin_swap_kprobe"),
				Optional: true,
				Without:  "major faults that swap in have no latency",
			},
			{Name: "end of a major fault", Ways: collector.By("memory_end_major")},
			{Name: "fault of a process", When: "processes", Ways: []collector.Way{
				{Programs: []string{"memory_process_minor", "memory_process_major"}},
			}},
		},
		Variables: []collector.Variable{{Name: "cfg_rows", Option: "rows"}},
		Options: []collector.Option{
			{Name: "processes", Help: "Also count faults by process name (adds a program to every fault)."},
			{Name: "rows", Default: 480, Range: collector.Range{Least: 8, Most: 65536}, Help: "At most this many pairs of process name and kind of fault have a row of their own. The rest count as other or gone."},
		},
		Tables: []collector.Table{{
			Map: "memory_processes", Overflow: &collector.Overflow{Each: "fault", Loss: "map_full"},
			Bound: &collector.Bound{Option: "rows"},
			Labels: []collector.Label{
				{Name: "process", Field: "comm", As: label.String},
				{Name: "type", Field: "fault"},
			},
		}},
		Needs: []collector.Need{{
			Capabilities: []string{"CAP_SYS_ADMIN"},
			Why:          "Perf's events of all CPUs take it where kernel.perf_event_paranoid is above 2, as on Debian and Ubuntu.",
		}},
		Metrics: []collector.Metric{
			{
				Name: minors, Kind: collector.Counter, Map: "memory_minors",
				Help: "Page faults that needed no fetching of a page, since boot; before Linux 6.4 since the collector's start.",
			},
			{
				Name: majors, Kind: collector.Counter,
				Help: "Page faults that had to fetch a page from a device, since boot.",
			},
			{
				Name: "ebpf_page_fault_major_latency", Kind: collector.Histogram, Map: "memory_latency",
				Help: "Time from when a fault found its page missing to the end of the fault, since the collector's start.",
			},
			{
				Name: "ebpf_page_faults_by_process_total", Kind: collector.Counter, Map: "memory_processes", When: "processes",
				Help: "Page faults by process name, since the collector's start; other is what the table had no room for.",
			},
			{
				Name: allocations, Kind: collector.Counter,
				Help: "Pages allocated, since boot.",
			},
			{
				Name: "ebpf_page_alloc_order", Kind: collector.LinearHistogram, Map: "memory_orders", Field: "counts", Highest: 10,
				Help: "Allocations by order, since the collector's start: the allocation has 2^order pages.",
			},
		},
		Alerts: alerts(),
		Panels: panels(),
	}
}
