// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

// alerts returns alerts on the counters, not on the gauge: that is absent, or of
// very few pages, while little is read. Where fewer than ten pages a second are
// read, nobody waits for the cache.
func alerts() []collector.Alert {
	pages := func(hits, misses float64) []collector.Series {
		return []collector.Series{
			{Name: `ebpf_page_cache_hits_total{job="kernscope",instance="db1"}`, PerSecond: hits},
			{Name: `ebpf_page_cache_misses_total{job="kernscope",instance="db1"}`, PerSecond: misses},
		}
	}
	return []collector.Alert{{
		Group: "ebpf_system", Name: "PageCacheHitRateLow", For: 10 * time.Minute, Severity: "warning",
		Expr: `sum by (instance) (rate(ebpf_page_cache_hits_total[5m]))
/ (sum by (instance) (rate(ebpf_page_cache_hits_total[5m])) + sum by (instance) (rate(ebpf_page_cache_misses_total[5m])))
< 0.90
and sum by (instance) (rate(ebpf_page_cache_hits_total[5m])) + sum by (instance) (rate(ebpf_page_cache_misses_total[5m])) >= 10`,
		Summary:     "The page cache of {{ $labels.instance }} does not hold what is read",
		Description: "Of the pages that were read on {{ $labels.instance }}, {{ $value | humanizePercentage }} were in the page cache in the last 5 minutes.",
		Runbook: "See whether memory is short (free, column available), which process reads (pidstat -d), " +
			"and whether it is a backup or a scan, which no cache holds.",
		Fires:  pages(80, 20),
		Quiet:  pages(95, 5),
		Idle:   pages(0, 5),
		Labels: map[string]string{"instance": "db1"},
		Value:  0.8,
	}}
}
