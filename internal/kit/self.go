// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

// job is the scrape job of kernscope, whatever the layout.
const job = "kernscope"

// selfRules returns the rules about kernscope itself, which every collector gets for
// free. Lost events raise no alert: most reasons mean coarser labels, not a
// wrong count, and which do is in the collectors' READMEs.
func selfRules() collector.Spec {
	const group = "kernscope"
	up := func(value float64) []collector.Series {
		return []collector.Series{
			{Name: `up{job="kernscope",instance="db1",exporter="diskio"}`, Value: value},
			{Name: `up{job="other",instance="db1"}`, Value: 0},
		}
	}
	info := func(status string) []collector.Series {
		return []collector.Series{{
			Name:  `kernscope_collector_info{job="kernscope",instance="db1",collector="diskio",status="` + status + `",reason="so"}`,
			Value: 1,
		}}
	}
	return collector.Spec{
		Name: "kernscope",
		Alerts: []collector.Alert{
			{
				Group: group, Name: "KernscopeDown", For: 5 * time.Minute, Severity: "warning",
				Expr:        `up{job="` + job + `"} == 0`,
				Summary:     "kernscope on {{ $labels.instance }} cannot be scraped",
				Description: "Prometheus has not reached kernscope, or one of its ports, on {{ $labels.instance }} for 5 minutes.",
				Runbook:     "systemctl status 'kernscope*' on that host; Prometheus' page of targets has the error of the last scrape.",
				Fires:       up(0),
				Quiet:       up(1),
				Labels:      map[string]string{"job": "kernscope", "instance": "db1", "exporter": "diskio"},
			},
			{
				// What the machine lacks is unsupported, and no failure.
				Group: group, Name: "KernscopeCollectorFailed", For: 10 * time.Minute, Severity: "warning",
				Expr:        `max by (instance, collector, reason) (kernscope_collector_info{status="failed"})`,
				Summary:     "Collector {{ $labels.collector }} fails on {{ $labels.instance }}",
				Description: "The kernel of {{ $labels.instance }} should support the collector {{ $labels.collector }}, which fails: {{ $labels.reason }}.",
				Runbook:     "kernscope doctor {{ $labels.collector }} on that host, as root, explains what was tried and what would help.",
				Fires:       info("failed"),
				Quiet:       info("unsupported"),
				Labels:      map[string]string{"instance": "db1", "collector": "diskio", "reason": "so"},
				Value:       1,
			},
		},
	}
}
