// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"time"

	"github.com/kernscope/kernscope/collector"
)

// rulesToCome are of collectors that only this file knows: they show that a
// Spec is enough for rules, their tests and a target.
func rulesToCome() []collector.Spec {
	return []collector.Spec{
		arcRules(),
		latencyRules("zfs-metaslab", 9113, "ZfsMetaslabAllocSlow", "ebpf_zfs_metaslab_alloc", 10*time.Millisecond, 15*time.Minute),
		scrubRules(),
		latencyRules("zfs-txg", 9112, "ZfsTxgSyncTimeSlow", "ebpf_zfs_txg_sync", 3*time.Second, 5*time.Minute),
		handshakeRules(),
	}
}

func arcRules() collector.Spec {
	const ratio = "instance:ebpf_zfs_arc_hits:ratio_rate5m"
	reads := func(hits, misses float64) []collector.Series {
		return []collector.Series{
			{Name: `ebpf_zfs_arc_hits_total{instance="nas"}`, PerSecond: hits},
			{Name: `ebpf_zfs_arc_misses_total{instance="nas"}`, PerSecond: misses},
		}
	}
	alert := func(name, severity, limit string, lasts time.Duration, hits float64) collector.Alert {
		return collector.Alert{
			Group: "ebpf_zfs", Name: name, For: lasts, Severity: severity,
			Expr:        ratio + " < " + limit,
			Summary:     "The ARC of {{ $labels.instance }} does not hold what is read",
			Description: "It served {{ $value | humanizePercentage }} of the reads.",
			Runbook:     "arcstat.",
			Fires:       reads(hits, 100-hits),
			Quiet:       reads(95, 5),
			Labels:      map[string]string{"instance": "nas"},
			Value:       hits / 100,
		}
	}
	return collector.Spec{
		Name: "zfs-arc", Port: 9110,
		Records: []collector.Record{{
			Group: "ebpf_zfs", Name: ratio,
			Expr: `sum by (instance) (rate(ebpf_zfs_arc_hits_total[5m]))
/ (sum by (instance) (rate(ebpf_zfs_arc_hits_total[5m])) + sum by (instance) (rate(ebpf_zfs_arc_misses_total[5m])))`,
		}},
		Alerts: []collector.Alert{
			alert("ZfsArcHitRateLow", "warning", "0.90", 10*time.Minute, 85),
			alert("ZfsArcHitRateCritical", "critical", "0.80", 5*time.Minute, 75),
		},
	}
}

// latencyRules are of a histogram of each pool.
func latencyRules(name string, port uint16, alert, histogram string, limit, lasts time.Duration) collector.Spec {
	takes := func(latency time.Duration) []collector.Series {
		return []collector.Series{{Name: histogram + `{instance="nas",pool="tank"}`, Latency: latency}}
	}
	return collector.Spec{
		Name: name, Port: port,
		Alerts: []collector.Alert{{
			Group: "ebpf_zfs", Name: alert, For: lasts, Severity: "warning",
			Expr:        fmt.Sprintf(`{{quantile 0.99 %q "5m" "instance" "pool"}} > %v`, histogram, limit.Seconds()),
			Summary:     "Pool {{ $labels.pool }} of {{ $labels.instance }} is slow",
			Description: "One of a hundred took longer than {{ $value | humanizeDuration }}.",
			Runbook:     "zpool iostat -l.",
			Fires:       takes(limit * 2),
			Quiet:       takes(limit / 3),
			Labels:      map[string]string{"instance": "nas", "pool": "tank"},
		}},
	}
}

func scrubRules() collector.Spec {
	errors := func(perSecond float64) []collector.Series {
		return []collector.Series{{Name: `ebpf_zfs_scrub_errors_total{instance="nas",pool="tank"}`, PerSecond: perSecond}}
	}
	return collector.Spec{
		Name: "zfs-scrub", Port: 9117,
		Alerts: []collector.Alert{{
			Group: "ebpf_zfs", Name: "ZfsScrubErrors", For: time.Minute, Severity: "critical",
			Expr:        `max by (instance, pool) (increase(ebpf_zfs_scrub_errors_total[10m])) > 0`,
			Summary:     "A scrub found errors in {{ $labels.pool }} of {{ $labels.instance }}",
			Description: `{{ $value | printf "%.0f" }} errors in 10 minutes.`,
			Runbook:     "zpool status -v.",
			Fires:       errors(0.5),
			Quiet:       errors(0),
			Labels:      map[string]string{"instance": "nas", "pool": "tank"},
			Value:       300,
		}},
	}
}

func handshakeRules() collector.Spec {
	age := func(seconds float64) []collector.Series {
		return []collector.Series{{
			Name:  `ebpf_wireguard_handshake_age_seconds{instance="nas",interface="wg0",peer="aGk="}`,
			Value: seconds,
		}}
	}
	return collector.Spec{
		Name: "wireguard", Port: 9115,
		Alerts: []collector.Alert{{
			Group: "ebpf_network", Name: "WireguardHandshakeStale", For: 5 * time.Minute, Severity: "warning",
			Expr:        `max by (instance, interface, peer) (ebpf_wireguard_handshake_age_seconds) > 300`,
			Summary:     "Peer {{ $labels.peer }} of {{ $labels.interface }} on {{ $labels.instance }} is silent",
			Description: "Its last handshake was {{ $value | humanizeDuration }} ago.",
			Runbook:     "wg show.",
			Fires:       age(330),
			Quiet:       age(120),
			Labels:      map[string]string{"instance": "nas", "interface": "wg0", "peer": "aGk="},
			Value:       330,
		}},
	}
}
