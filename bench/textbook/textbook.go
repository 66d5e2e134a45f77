// SPDX-License-Identifier: Apache-2.0

// Package textbook holds the collectors as textbooks and the well-known tools
// write them, for comparison: they measure the same on the same kind of hook,
// and differ in what they remember and where.
package textbook

import (
	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/internal/label"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" cachestat cachestat.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" diskio diskio.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" fileops fileops.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" memory memory.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" schedlat schedlat.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" syscall syscall.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" tcpretransmit tcpretransmit.bpf.c -- -I../../bpf

// Syscall counts system calls in a hash by number.
func Syscall() collector.Spec {
	return collector.Spec{
		Name:  "syscall",
		Load:  loadSyscall,
		Hooks: attach("syscall_count"),
		Metrics: []collector.Metric{{
			Name: "calls", Kind: collector.Counter, Map: "syscall_calls",
			Labels: []collector.Label{{Name: "syscall", As: label.Syscall}},
		}},
	}
}

// SyscallLatency remembers every call's entry in a hash by thread.
func SyscallLatency() collector.Spec {
	return collector.Spec{
		Name:  "syscall",
		Load:  loadSyscall,
		Hooks: attach("syscall_start", "syscall_end"),
		Metrics: []collector.Metric{{
			Name: "calls", Kind: collector.Counter, Map: "syscall_latency",
			Labels: []collector.Label{
				{Name: "syscall", Field: "number", As: label.Syscall},
				{Name: "slot", Field: "slot", As: label.Number},
			},
		}},
	}
}

// Schedlat remembers every wake-up in a hash by pid.
func Schedlat() collector.Spec {
	return collector.Spec{
		Name:  "schedlat",
		Load:  loadSchedlat,
		Hooks: attach("schedlat_wakeup", "schedlat_wakeup_new", "schedlat_switch"),
		Metrics: []collector.Metric{{
			Name: "delays", Kind: collector.Counter, Map: "schedlat_delay",
			Labels: []collector.Label{{Name: "slot", As: label.Number}},
		}},
	}
}

// Diskio remembers every request's start in a hash by request.
func Diskio() collector.Spec {
	return diskio("diskio_insert", "diskio_issue", "diskio_complete")
}

// DiskioBios remembers every bio's start in a hash by bio.
func DiskioBios() collector.Spec {
	return diskio("diskio_submit", "diskio_bio_end")
}

// Fileops counts in a hash by process name and operation.
func Fileops() collector.Spec {
	return collector.Spec{
		Name:   "fileops",
		Load:   loadFileops,
		Hooks:  attach("fileops_enter"),
		Tables: fileops.Spec().Tables[:1],
		Metrics: []collector.Metric{{
			Name: "operations", Kind: collector.Counter, Map: "fileops_calls",
			Labels: []collector.Label{
				{Name: "process", Field: "process", As: label.String},
				{Name: "operation", Field: "operation"},
			},
		}},
	}
}

// Cachestat remembers every page that was added in a hash by file and page.
func Cachestat() collector.Spec {
	return collector.Spec{
		Name:  "cachestat",
		Load:  loadCachestat,
		Hooks: attach("cachestat_add", "cachestat_dirty", "cachestat_read"),
		Metrics: []collector.Metric{{
			Name: "pages", Kind: collector.Counter, Map: "cachestat_events",
			Labels: []collector.Label{{Name: "event"}},
		}},
	}
}

// Memory counts page faults and allocations in hashes by process.
func Memory() collector.Spec {
	return collector.Spec{
		Name:  "memory",
		Load:  loadMemory,
		Hooks: attach("memory_fault", "memory_allocate"),
		Metrics: []collector.Metric{{
			Name: "allocations", Kind: collector.Counter, Map: "memory_allocations",
			Labels: []collector.Label{
				{Name: "process", Field: "process", As: label.String},
				{Name: "pid", Field: "pid", As: label.Number},
				{Name: "order", Field: "order", As: label.Number},
			},
		}},
	}
}

// Tcpretransmit counts in a hash by the addresses and ports of both ends.
func Tcpretransmit() collector.Spec {
	return collector.Spec{
		Name:  "tcp-retransmit",
		Load:  loadTcpretransmit,
		Hooks: attach("tcpretransmit_segment", "tcpretransmit_synack"),
		Metrics: []collector.Metric{{
			Name: "retransmits", Kind: collector.Counter, Map: "tcpretransmit_flows",
			Labels: []collector.Label{
				{Name: "source", Field: "source", As: label.Prefix},
				{Name: "destination", Field: "destination", As: label.Prefix},
				{Name: "source_port", Field: "source_port", As: label.Number},
				{Name: "destination_port", Field: "destination_port", As: label.Number},
			},
		}},
	}
}

func diskio(programs ...string) collector.Spec {
	return collector.Spec{
		Name:  "diskio",
		Load:  loadDiskio,
		Hooks: attach(programs...),
		Metrics: []collector.Metric{{
			Name: "requests", Kind: collector.Counter, Map: "diskio_latency",
			Labels: []collector.Label{
				{Name: "device", Field: "device", As: label.BlockDevice},
				{Name: "operation", Field: "operation", As: label.Number},
				{Name: "slot", Field: "slot", As: label.Number},
			},
		}},
	}
}

func attach(programs ...string) []collector.Hook {
	var hooks []collector.Hook
	for _, p := range programs {
		hooks = append(hooks, collector.Hook{Name: p, Programs: []string{p}})
	}
	return hooks
}
