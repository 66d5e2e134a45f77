// SPDX-License-Identifier: Apache-2.0

// Package syscall counts system calls by name, and on request their errors
// and latency. The README beside it says what is counted and what is not.
package syscall

import (
	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// Spec describes the collector.
func Spec() collector.Spec {
	byIndex := func(as func() label.Decoder) []collector.Label {
		return []collector.Label{{Name: "syscall", Field: collector.Index, As: as}}
	}
	beyond := []collector.Label{{Name: "syscall", Fixed: "other"}}
	const (
		calls       = "ebpf_syscalls_total"
		callsHelp   = "System calls, by name; other is numbers that no system call has."
		compat      = "ebpf_syscalls_compat_total"
		compatHelp  = "System calls of 32-bit programs, by name; other is numbers that no system call has."
		latencyHelp = "Time from the entry of a system call to its exit, sleep included; 64-bit programs."
	)
	return collector.Spec{
		Name: "syscall",
		Help: "System calls by name, with errors and latency on request",
		Port: 9105,
		Load: loadSyscall,
		Hooks: []collector.Hook{
			{Name: "entry", Ways: collector.By("syscall_enter_typed", "syscall_enter_raw")},
			{Name: "error", Ways: collector.By("syscall_error_typed", "syscall_error_raw"), When: "errors"},
			{Name: "timing", When: "latency", Ways: []collector.Way{
				{Programs: []string{"syscall_stamp_storage", "syscall_latency_storage"}},
				{Programs: []string{"syscall_stamp_raw", "syscall_latency_raw"}},
			}},
		},
		Options: []collector.Option{
			{Name: "errors", Help: "Also count errors by system call and errno (adds a program to every exit)."},
			{Name: "latency", Help: "Also serve latency by system call (adds a program to every entry and exit)."},
			{Name: "rows", Default: 960, Range: collector.Range{Least: 8, Most: 65536}, Help: "With errors, at most this many pairs of system call and errno have a row of their own. The rest count as other or gone."},
		},
		Variables: []collector.Variable{{Name: "cfg_rows", Option: "rows"}},
		Tables: []collector.Table{
			{
				Map: "syscall_errors", Overflow: &collector.Overflow{Loss: "map_full"}, Bound: &collector.Bound{Option: "rows"},
				Labels: []collector.Label{
					{Name: "syscall", Field: "number", As: label.Syscall},
					{Name: "errno", Field: "error", As: label.Errno},
				},
			},
			{Map: "syscall_latency", Labels: []collector.Label{{Name: "syscall", As: label.Syscall}}},
		},
		Metrics: []collector.Metric{
			{Name: calls, Help: callsHelp, Kind: collector.Counter, Map: "syscall_calls", Field: "native", Labels: byIndex(label.Syscall)},
			{Name: calls, Help: callsHelp, Kind: collector.Counter, Map: "syscall_calls", Field: "native_beyond", Labels: beyond},
			{Name: compat, Help: compatHelp, Kind: collector.Counter, Map: "syscall_calls", Field: "compat", Labels: byIndex(label.CompatSyscall)},
			{Name: compat, Help: compatHelp, Kind: collector.Counter, Map: "syscall_calls", Field: "compat_beyond", Labels: beyond},
			{
				Name: "ebpf_syscall_errors_total", Kind: collector.Counter, Map: "syscall_errors", When: "errors",
				Help: "System calls of 64-bit programs that returned an error, by name and error.",
			},
			{
				Name: "ebpf_syscall_latency", Kind: collector.Histogram, Map: "syscall_latency", When: "latency",
				Help: latencyHelp,
			},
		},
		Panels: panels(),
	}
}
