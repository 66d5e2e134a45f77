// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"

	"github.com/kernscope/kernscope/bench/textbook"
	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/cachestat"
	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/collector/memory"
	"github.com/kernscope/kernscope/collector/schedlat"
	"github.com/kernscope/kernscope/collector/syscall"
	"github.com/kernscope/kernscope/collector/tcpretransmit"
)

// unmeasured returns those of the collectors that have no case: the page lists
// them, so that nobody takes what it does not say for nothing.
func unmeasured(specs []collector.Spec, cases []Case) (skips []Skip) {
	for _, s := range specs {
		if !slices.ContainsFunc(cases, func(c Case) bool { return c.Spec.Name == s.Name }) {
			skips = append(skips, Skip{Case: s.Name, Reason: "bench/cases.go has no case of it"})
		}
	}
	return skips
}

// Cases are all cases, by collector.
func Cases() []Case {
	latency := Series{Name: "ebpf_disk_io_latency_microseconds", Labels: map[string]string{"operation": "read"}}
	requests := Series{Name: textbook.Events, Labels: map[string]string{"operation": "0"}}
	calls := Series{Name: textbook.Events}
	return []Case{
		{
			Name: "cachestat, cached", Event: "page",
			Text: "Reads of a page from a block device that is wholly in the page cache. " +
				"The textbook remembers every page that was added in a hash by file and page, where it looks up every page that is read, " +
				"and counts in a hash shared by all CPUs.",
			Spec: cachestat.Spec(), Counted: Series{Name: "ebpf_page_cache_hits_total"},
			Textbook: new(textbook.Cachestat()), TextbookCounted: Series{Name: textbook.Events, Labels: map[string]string{"event": "hit"}},
			Workload: newCached, Events: 65_536,
		},
		{
			Name: "cachestat, uncached", Event: "page",
			Text: "Reads of 16 pages from a loop device in memory, none of it in the page cache, with the kernel's readahead.",
			Spec: cachestat.Spec(), Counted: Series{Name: "ebpf_page_cache_misses_total"},
			Textbook: new(textbook.Cachestat()), TextbookCounted: Series{Name: textbook.Events, Labels: map[string]string{"event": "miss"}},
			Workload: newUncached, Events: 16_384, OnlyInside: true, Batched: true,
		},
		{
			Name: "diskio", Event: "I/O",
			Text: "Direct reads of 4 KiB from a loop device in memory, 64 at a time, through mq-deadline. " +
				"The textbook stamps a request in a hash as it is inserted or issued, and looks it up as it completes.",
			Spec: diskio.Spec(), Counted: latency,
			Textbook: new(textbook.Diskio()), TextbookCounted: requests,
			Workload: newRequests, Events: 16_384, OnlyInside: true,
			Goals: []Goal{{Over: withTextbook, Limit: 0.3}, {Limit: 500}},
		},
		{
			Name: "diskio, beside bios", Event: "I/O",
			Text: "The same reads where a device without requests (zram here; device mapper, md) is in use as well. " +
				"Every request's bio is then looked for among those of that device, too: it may have been handed on.",
			Spec: diskio.Spec(), Counted: latency,
			Textbook: new(textbook.Diskio()), TextbookCounted: requests,
			Workload: newBeside, Events: 16_384, OnlyInside: true,
			Goals: []Goal{{Over: withTextbook, Limit: 0.3}, {Limit: 500}},
		},
		{
			Name: "diskio, without requests", Event: "I/O",
			Text: "Direct reads of 4 KiB from a zram device, whose driver knows no requests. " +
				"The textbook and the collector both stamp a bio in a hash as it is submitted, and look it up as it ends.",
			Spec: diskio.Spec(), Counted: latency,
			Textbook: new(textbook.DiskioBios()), TextbookCounted: requests,
			Workload: newBios, Events: 20_000,
		},
		{
			Name: "fileops", Event: "read",
			Text: "Reads of nothing from /dev/null. The textbook counts in a hash by process, thread, name, descriptor and operation, shared by all CPUs.",
			Spec: fileops.Spec(), Counted: Series{Name: "ebpf_file_ops_total", Labels: map[string]string{"operation": "read"}},
			Textbook: new(textbook.Fileops()), TextbookCounted: Series{Name: textbook.Events, Labels: map[string]string{"operation": "read"}},
			Workload: newNullReads, Events: 200_000,
		},
		{
			Name: "fileops, by cgroup", Event: "read",
			Text: "The same reads, counted by cgroup, too.",
			Spec: fileops.Spec(), Options: []string{"cgroups"},
			Counted:  Series{Name: "ebpf_file_ops_total", Labels: map[string]string{"operation": "read"}},
			Workload: newNullReads, Events: 200_000,
		},
		{
			Name: "memory", Event: "page fault",
			Text: "Writes to fresh pages of a process's own: a minor fault and an allocation each. " +
				"The textbook counts both in hashes by process and, of allocations, order; the collector takes the faults from /proc/vmstat, " +
				"where the kernel counts them.",
			Spec: memory.Spec(), Counted: Series{Name: "ebpf_page_alloc_order"},
			Textbook: new(textbook.Memory()), TextbookCounted: Series{Name: textbook.Events},
			Workload: newFaults, Events: 40_960,
		},
		{
			Name: "schedlat", Event: "context switch",
			Text: "A byte passed back and forth between two threads on one CPU: a wake-up and a switch each. " +
				"The textbook stamps a task in a hash as it wakes up or is preempted, and looks it up as it gets the CPU.",
			Spec: schedlat.Spec(), Counted: Series{Name: "ebpf_sched_runqueue_latency_microseconds"},
			Textbook: new(textbook.Schedlat()), TextbookCounted: Series{Name: textbook.Events},
			Workload: newSwitches, Events: 40_000,
			Goals: []Goal{{Over: withTextbook, Limit: 0.4}},
		},
		{
			Name: "syscall", Event: "system call",
			Text: "The cheapest of system calls, again and again. The textbook counts in a hash by number.",
			Spec: syscall.Spec(), Counted: Series{Name: "ebpf_syscalls_total"},
			Textbook: new(textbook.Syscall()), TextbookCounted: calls,
			Workload: newSyscalls, Events: 200_000,
			Goals: []Goal{{Over: withEmpty, Limit: 1.15, Why: "The program itself takes some 4 ns on a fast processor, where the hook is 22: that makes 1.17×; on others it is 20 of 100"}},
		},
		{
			Name: "syscall, latency on", Event: "system call",
			Text: "The same calls, timed. The textbook stamps a thread in a hash, looks it up at the exit, " +
				"and counts in a hash by number and bucket.",
			Spec: syscall.Spec(), Options: []string{"latency"}, Counted: Series{Name: "ebpf_syscall_latency_microseconds"},
			Textbook: new(textbook.SyscallLatency()), TextbookCounted: calls,
			Workload: newSyscalls, Events: 100_000,
		},
		{
			Name: "tcp-retransmit", Event: "retransmit",
			Text: "Data sent over the loopback device of a network of its own, to a socket that drops a tenth of the packets: " +
				"real retransmits, of a segment each. The textbook counts in a hash by the addresses and ports of both ends.",
			Spec: tcpretransmit.Spec(), Counted: Series{Name: "ebpf_tcp_retransmits_by_dest"},
			Textbook: new(textbook.Tcpretransmit()), TextbookCounted: Series{Name: textbook.Events},
			Workload: newResends, Events: 1_024, OnlyInside: true,
		},
	}
}
