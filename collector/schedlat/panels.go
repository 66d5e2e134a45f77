// SPDX-License-Identifier: Apache-2.0

package schedlat

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	return []collector.Panel{{
		Row: collector.RowSystem, Place: 2, Type: "timeseries", Unit: "s", Log: true,
		Title:       "Run-queue latency",
		Description: "How long tasks that were ready to run waited for a CPU: half of them no longer than p50, 1 of 100 longer than p99.",
		Queries: []collector.Query{
			{Expr: `{{quantile 0.5 "ebpf_sched_runqueue_latency" "$__rate_interval" "instance"}}`, Legend: "{{instance}} p50"},
			{Expr: `{{quantile 0.99 "ebpf_sched_runqueue_latency" "$__rate_interval" "instance"}}`, Legend: "{{instance}} p99"},
		},
	}}
}
