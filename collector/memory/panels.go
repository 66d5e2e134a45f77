// SPDX-License-Identifier: Apache-2.0

package memory

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	return []collector.Panel{{
		Row: collector.RowApplication, Place: 3, Type: "timeseries", Unit: "cps", Log: true,
		Title: "Page faults and allocation order",
		Description: "Page faults per second: minor ones found their page in memory, major ones had to fetch it from a device. " +
			"At the right, the order that 99 of 100 page allocations do not exceed: an allocation of order n has 2^n pages.",
		Queries: []collector.Query{
			{Expr: `max by (instance) (rate(` + minors + `[$__rate_interval]))`, Legend: "{{instance}} minor"},
			{Expr: `max by (instance) (rate(` + majors + `[$__rate_interval]))`, Legend: "{{instance}} major"},
			{
				// A bucket is one order; the quantile lies within it.
				Expr:   `ceil(histogram_quantile(0.99, sum by (instance, le) (rate(ebpf_page_alloc_order_bucket[$__rate_interval]))))`,
				Legend: "{{instance}} order p99",
				Unit:   "none",
			},
		},
	}}
}
