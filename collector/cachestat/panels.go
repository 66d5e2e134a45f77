// SPDX-License-Identifier: Apache-2.0

package cachestat

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	return []collector.Panel{{
		Row: collector.RowSystem, Place: 3, Type: "stat", Unit: "percentunit",
		Title:       "Page cache hit ratio",
		Description: "What part of the pages that were read was in the page cache. No value where nothing was read.",
		Queries: []collector.Query{{
			Expr: `sum by (instance) (rate(ebpf_page_cache_hits_total[$__rate_interval]))
/ (sum by (instance) (rate(ebpf_page_cache_hits_total[$__rate_interval]))
  + sum by (instance) (rate(ebpf_page_cache_misses_total[$__rate_interval])) > 0)`,
			Legend: "{{instance}}",
		}},
		Thresholds: []collector.Threshold{{From: 0, Color: "red"}, {From: 0.9, Color: "yellow"}, {From: 0.95, Color: "green"}},
	}}
}
