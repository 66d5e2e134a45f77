// SPDX-License-Identifier: Apache-2.0

// Package cachestat counts what buffered reads and writes do to the page
// cache, in pages. The README beside it says what is counted and what is not.
package cachestat

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

// How a system call says what it reads: the constants of call.bpf.h.
const (
	atFiles = 1 + iota
	atArg
	atArgOrFiles
	atPointer
	atPointer32
	many   = 0x08
	second = 0x10
	flags  = 0x20
)

// nativeCalls returns how each system call that reads says what it reads.
func nativeCalls() map[string]uint8 {
	return map[string]uint8{
		"read": atFiles, "readv": atFiles,
		"pread64": atArg, "preadv": atArgOrFiles, "preadv2": atArgOrFiles | flags,
		"splice": atPointer, "copy_file_range": atPointer | many, "sendfile": atPointer | many | second,
	}
}

// compatCalls returns those of 32-bit programs, whose sendfile has a 32-bit offset.
func compatCalls() map[string]uint8 {
	calls := nativeCalls()
	calls["sendfile64"] = calls["sendfile"]
	calls["sendfile"] = atPointer32 | many | second
	return calls
}

// Spec describes the collector.
func Spec() collector.Spec {
	const hits, misses = "ebpf_page_cache_hits_total", "ebpf_page_cache_misses_total"
	counter := func(name, field, help string) collector.Metric {
		return collector.Metric{Name: name, Help: help, Kind: collector.Counter, Map: "cachestat_counts", Field: field}
	}
	return collector.Spec{
		Name: "cachestat",
		Help: "Page cache: hits, misses, adds and dirties, in pages",
		Port: 9106,
		Load: loadCachestat,
		Hooks: []collector.Hook{
			{Name: "add", Ways: collector.By("cachestat_add_typed", "cachestat_add_raw")},
			{Name: "dirty", Ways: collector.By(
				"cachestat_dirty_folio_typed", "cachestat_dirty_page_typed",
				"cachestat_dirty_folio_raw", "cachestat_dirty_page_raw",
			)},
			{Name: "read", Ways: []collector.Way{
				// splice() came by filemap_read until Linux 6.5.
				{Programs: []string{"cachestat_read_exit", "cachestat_splice_exit"}},
				{Programs: []string{"cachestat_read_exit"}},
				{Programs: []string{"cachestat_read_exit_old"}},
				{
					Programs: []string{"cachestat_get_pages", "cachestat_task_exit"},
					Without:  "what io_uring, AIO and the kernel itself read up to the first page that they had to wait for is not counted",
				},
				{
					Programs: []string{"cachestat_read_end", "cachestat_read_start"},
					Without:  "since Linux 6.5, what splice and sendfile read is not counted",
				},
				{Programs: []string{"cachestat_read_end_old", "cachestat_read_start_old"}},
			}},
		},
		Variables: []collector.Variable{
			{Name: "cfg_native", Syscalls: nativeCalls()},
			{Name: "cfg_compat", Syscalls: compatCalls(), Compat: true},
		},
		Metrics: []collector.Metric{
			counter(hits, "hits", "Pages that buffered reads found in the page cache."),
			counter(misses, "misses", "Pages that buffered reads got from the disk, themselves or by readahead: reads of a page for the first time since it was added."),
			counter("ebpf_page_cache_adds_total", "adds", "Pages added to the page cache, by reads, readahead, writes and page faults."),
			counter("ebpf_page_cache_dirties_total", "dirties", "Pages that became dirty."),
			counter("ebpf_page_cache_forgotten_total", "forgotten", "Pages added and not read yet of which the collector has lost track: read later, they count as hits."),
			{
				Name: "ebpf_page_cache_hit_ratio", Kind: collector.Ratio, Window: 15 * time.Second,
				Part: hits, Whole: []string{hits, misses},
				Help: "What part of the pages that were read was found in the page cache",
			},
		},
		Alerts: alerts(),
		Panels: panels(),
	}
}
