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

// Cases returns all cases, by collector.
func Cases() []Case {
	latency := Series{Name: "ebpf_disk_io_latency_microseconds", Labels: map[string]string{"operation": "read"}}
	requests := Series{Name: textbook.Events, Labels: map[string]string{"operation": "0"}}
	calls := Series{Name: textbook.Events}
	return []Case{
		{
			Name: "cachestat, cached", Event: "page",
			Text: "The workload reads single pages from a block device that is wholly in the page cache. " +
				"The textbook keeps every page that was added in a hash by file and page. It looks up every page that is read there, " +
				"and counts in a hash that all CPUs share.",
			Spec: cachestat.Spec(), Counted: Series{Name: "ebpf_page_cache_hits_total"},
			Textbook: new(textbook.Cachestat()), TextbookCounted: Series{Name: textbook.Events, Labels: map[string]string{"event": "hit"}},
			Workload: newCached, Events: 65_536,
		},
		{
			Name: "cachestat, uncached", Event: "page",
			Text: "The workload reads 16 pages at a time from a loop device in memory, with the kernel's readahead. None of the device is in the page cache.",
			Spec: cachestat.Spec(), Counted: Series{Name: "ebpf_page_cache_misses_total"},
			Textbook: new(textbook.Cachestat()), TextbookCounted: Series{Name: textbook.Events, Labels: map[string]string{"event": "miss"}},
			Workload: newUncached, Events: 16_384, OnlyInside: true, Batched: true,
		},
		{
			Name: "diskio", Event: "I/O",
			Text: "The workload makes direct reads of 4 KiB from a loop device in memory, 64 at once, through mq-deadline. " +
				"The textbook stores a timestamp in a hash when a request is inserted or issued, and looks it up when the request completes.",
			Spec: diskio.Spec(), Counted: latency,
			Textbook: new(textbook.Diskio()), TextbookCounted: requests,
			Workload: newRequests, Events: 16_384, OnlyInside: true,
			Goals: []Goal{{Over: withTextbook, Limit: 0.3}, {Limit: 500}},
		},
		{
			Name: "diskio, beside bios", Event: "I/O",
			Text: "The workload makes the same reads while a device without requests is in use (zram here; device mapper and md are others). " +
				"The collector then also looks for every request's bio among the bios of that device, which may have passed it on.",
			Spec: diskio.Spec(), Counted: latency,
			Textbook: new(textbook.Diskio()), TextbookCounted: requests,
			Workload: newBeside, Events: 16_384, OnlyInside: true,
			Goals: []Goal{{Over: withTextbook, Limit: 0.3}, {Limit: 500}},
		},
		{
			Name: "diskio, without requests", Event: "I/O",
			Text: "The workload makes direct reads of 4 KiB from a zram device, whose driver has no requests. " +
				"The textbook and the collector both store a timestamp in a hash when a bio is submitted, and look it up when the bio ends.",
			Spec: diskio.Spec(), Counted: latency,
			Textbook: new(textbook.DiskioBios()), TextbookCounted: requests,
			Workload: newBios, Events: 20_000,
		},
		{
			Name: "fileops", Event: "read",
			Text: "The workload reads nothing from /dev/null. " +
				"The textbook counts in a hash by process, thread, name, descriptor and operation, which all CPUs share.",
			Spec: fileops.Spec(), Counted: Series{Name: "ebpf_file_ops_total", Labels: map[string]string{"operation": "read"}},
			Textbook: new(textbook.Fileops()), TextbookCounted: Series{Name: textbook.Events, Labels: map[string]string{"operation": "read"}},
			Workload: newNullReads, Events: 200_000,
		},
		{
			Name: "fileops, by cgroup", Event: "read",
			Text: "The workload makes the same reads, and the collector also counts by cgroup.",
			Spec: fileops.Spec(), Options: []string{"cgroups"},
			Counted:  Series{Name: "ebpf_file_ops_total", Labels: map[string]string{"operation": "read"}},
			Workload: newNullReads, Events: 200_000,
		},
		{
			Name: "memory", Event: "page fault",
			Text: "The workload writes to fresh anonymous pages: each write is a minor fault and an allocation. " +
				"The textbook counts faults in a hash by process, and allocations in a hash by process and order. " +
				"The collector takes the faults from /proc/vmstat, where the kernel counts them.",
			Spec: memory.Spec(), Counted: Series{Name: "ebpf_page_alloc_order"},
			Textbook: new(textbook.Memory()), TextbookCounted: Series{Name: textbook.Events},
			Workload: newFaults, Events: 40_960,
		},
		{
			Name: "schedlat", Event: "context switch",
			Text: "Two threads on one CPU pass a byte back and forth: each pass is a wake-up and a context switch. " +
				"The textbook stores a timestamp in a hash when a task wakes up or is preempted, and looks it up when the task gets the CPU.",
			Spec: schedlat.Spec(), Counted: Series{Name: "ebpf_sched_runqueue_latency_microseconds"},
			Textbook: new(textbook.Schedlat()), TextbookCounted: Series{Name: textbook.Events},
			Workload: newSwitches, Events: 40_000,
			Goals: []Goal{{Over: withTextbook, Limit: 0.4}},
		},
		{
			Name: "syscall", Event: "system call",
			Text: "The workload makes one of the cheapest system calls again and again. The textbook counts in a hash by number.",
			Spec: syscall.Spec(), Counted: Series{Name: "ebpf_syscalls_total"},
			Textbook: new(textbook.Syscall()), TextbookCounted: calls,
			Workload: newSyscalls, Events: 200_000,
			Goals: []Goal{{Over: withEmpty, Limit: 1.15, Why: "On a fast processor, the program takes some 4 ns and the hook 22 ns, which makes 1.17×. On others, the program takes 20 ns of 100 ns"}},
		},
		{
			Name: "syscall, latency on", Event: "system call",
			Text: "The workload makes the same calls, and both collectors time them. " +
				"The textbook stores a timestamp in a hash by thread, looks it up at the exit, and counts in a hash by number and bucket.",
			Spec: syscall.Spec(), Options: []string{"latency"}, Counted: Series{Name: "ebpf_syscall_latency_microseconds"},
			Textbook: new(textbook.SyscallLatency()), TextbookCounted: calls,
			Workload: newSyscalls, Events: 100_000,
		},
		{
			Name: "tcp-retransmit", Event: "retransmit",
			Text: "The workload sends data over the loopback device of a separate network namespace, to a socket that drops a tenth of the packets. " +
				"The retransmits are real, and each is one segment. The textbook counts in a hash by the addresses and ports of both ends.",
			Spec: tcpretransmit.Spec(), Counted: Series{Name: "ebpf_tcp_retransmits_by_dest"},
			Textbook: new(textbook.Tcpretransmit()), TextbookCounted: Series{Name: textbook.Events},
			Workload: newResends, Events: 1_024, OnlyInside: true,
		},
	}
}
