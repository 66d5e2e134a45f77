// SPDX-License-Identifier: Apache-2.0

// Package cachestat counts what buffered reads and writes do to the page
// cache, in pages. The README beside it says what is counted and what is not.
package cachestat

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" cachestat cachestat.bpf.c -- -I../../bpf

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

func nativeCalls() map[string]uint8 {
	return map[string]uint8{
		"read": atFiles, "readv": atFiles,
		"pread64": atArg, "preadv": atArgOrFiles, "preadv2": atArgOrFiles | flags,
		"splice": atPointer, "copy_file_range": atPointer | many, "sendfile": atPointer | many | second,
	}
}

// compatCalls are those of 32-bit programs, whose sendfile has a 32-bit offset.
func compatCalls() map[string]uint8 {
	list := nativeCalls()
	list["sendfile64"] = list["sendfile"]
	list["sendfile"] = atPointer32 | many | second
	return list
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
			{Name: "add", Programs: []string{"cachestat_add_typed", "cachestat_add_raw"}},
			{Name: "dirty", Programs: []string{
				"cachestat_dirty_folio_typed", "cachestat_dirty_page_typed",
				"cachestat_dirty_folio_raw", "cachestat_dirty_page_raw",
			}},
			{Name: "read", Programs: []string{
				"cachestat_read_exit", "cachestat_read_exit_old", "cachestat_get_pages",
				"cachestat_read_end", "cachestat_read_end_old",
			}},
			{Name: "splice", Programs: []string{"cachestat_splice_exit"}, For: "cachestat_read_exit", Optional: true},
			{Name: "read start", Programs: []string{"cachestat_read_start"}, For: "cachestat_read_end"},
			{Name: "read start", Programs: []string{"cachestat_read_start_old"}, For: "cachestat_read_end_old"},
			{Name: "task exit", Programs: []string{"cachestat_task_exit"}, For: "cachestat_get_pages"},
		},
		Tables: []collector.SyscallTable{
			{Variable: "cfg_native", Values: nativeCalls()},
			{Variable: "cfg_compat", Values: compatCalls(), Compat: true},
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
