// SPDX-License-Identifier: Apache-2.0

package diskio

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	return []collector.Panel{{
		Row: collector.RowSystem, Place: 1, Type: "heatmap", Unit: "short",
		Title: "Disk I/O latency",
		Description: "How many disk I/Os took how long, from the request's creation to its completion, queues included. " +
			"A column is of some sixtieth of the time shown, but at least of four scrapes.",
		Queries: []collector.Query{{
			Expr:   `{{buckets "ebpf_disk_io_latency{device!=\"gone\"}" "$__rate_interval"}}`,
			Legend: "{{le}}",
		}},
	}}
}
