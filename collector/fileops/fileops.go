// SPDX-License-Identifier: Apache-2.0

// Package fileops counts opens, reads and writes by process name. The README
// beside it says what is counted and what is not.
package fileops

import (
	"slices"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// The bits of the tables by system call.
const (
	opens  = 1 << 0
	reads  = 1 << 1
	writes = 1 << 2
)

// does says which system calls open, read or write, on all architectures and
// in both ABIs; a call that moves data from one file to another does two.
func does() map[string]uint8 {
	return map[string]uint8{
		"open": opens, "openat": opens, "openat2": opens, "creat": opens, "open_by_handle_at": opens,
		"read": reads, "pread64": reads, "readv": reads, "preadv": reads, "preadv2": reads,
		"write": writes, "pwrite64": writes, "writev": writes, "pwritev": writes, "pwritev2": writes,
		"sendfile": reads | writes, "sendfile64": reads | writes, "splice": reads | writes, "copy_file_range": reads | writes,
	}
}

// Spec describes the collector.
func Spec() collector.Spec {
	const entry = "entry of a system call"
	labels := []collector.Label{
		{Name: "process", Field: "process", As: label.String},
		{Name: "operation", Field: "operation"},
	}
	withCgroups := append(slices.Clone(labels),
		collector.Label{Name: "cgroup", Field: "cgroup"},
		collector.Label{Name: "container", Field: "cgroup"})
	overflow := &collector.Overflow{Each: "operation", Loss: "map_full"}
	byProcess := collector.Metric{
		Name: "ebpf_file_ops_total", Kind: collector.Counter, Map: "fileops_calls", Unless: "cgroups",
		Help: "System calls that open, read or write, tried or done, by the name of the thread; what io_uring and mapped memory do is not in it.",
	}
	byCgroup := byProcess
	byCgroup.Map, byCgroup.Unless, byCgroup.When = "fileops_cgroup_calls", "", "cgroups"
	return collector.Spec{
		Name: "fileops",
		Help: "Opens, reads and writes by process name",
		Port: 9109,
		Load: loadFileops,
		Hooks: []collector.Hook{
			{Name: entry, Ways: collector.By("fileops_enter_typed", "fileops_enter_raw"), Unless: "cgroups"},
			{Name: entry, Ways: collector.By("fileops_cgroup_enter_typed", "fileops_cgroup_enter_raw"), When: "cgroups"},
		},
		Variables: []collector.Variable{
			{Name: "cfg_native", Syscalls: does()},
			{Name: "cfg_compat", Syscalls: does(), Compat: true},
			{Name: "cfg_rows", Option: "rows"},
		},
		Options: []collector.Option{
			{Name: "cgroups", Help: "Count by cgroup, too: the service, pod or container that a process belongs to."},
			{Name: "rows", Default: 480, Range: collector.Range{Least: 8, Most: 8192}, Help: "At most this many pairs of name and operation have a row of their own; with cgroups, eight times as many. The rest count as other or gone."},
		},
		Tables: []collector.Table{
			{Map: "fileops_calls", Labels: labels, Overflow: overflow, Bound: &collector.Bound{Option: "rows"}},
			{
				Map: "fileops_cgroup_calls", Labels: withCgroups, Overflow: overflow, Bound: &collector.Bound{Option: "rows", Percent: 800},
				Owners: &collector.Owners{Field: "cgroup", As: label.Cgroups},
			},
		},
		Metrics: []collector.Metric{byProcess, byCgroup},
		Panels:  panels(),
	}
}
