// SPDX-License-Identifier: Apache-2.0

package syscall

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	return []collector.Panel{{
		Row: collector.RowApplication, Place: 1, Type: "timeseries", Unit: "ops",
		Title:       "Top 10 system calls",
		Description: "System calls per second of the ten that were made most in the time shown, on all instances chosen together.",
		Queries: []collector.Query{{
			// Chosen over all of the time shown: the ten of each moment would be
			// more than ten lines, with holes.
			Expr: `sum by (syscall) (max without (job, exporter) (rate(ebpf_syscalls_total[$__rate_interval])))
and on (syscall) topk(10, sum by (syscall) (rate(ebpf_syscalls_total[$__range] @ end())))`,
			Legend: "{{syscall}}",
		}},
	}}
}
