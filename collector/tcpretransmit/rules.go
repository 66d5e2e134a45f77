// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

// alerts take the maximum of a host, not the sum: the same counter may be
// scraped from a textfile too. The limit is 100 segments in 10 seconds.
func alerts() []collector.Alert {
	segments := func(perSecond float64) []collector.Series {
		return []collector.Series{
			{Name: `ebpf_tcp_retransmits_total{job="kernscope",instance="db1"}`, PerSecond: perSecond},
			{Name: `ebpf_tcp_retransmits_total{job="node",instance="db1"}`, PerSecond: perSecond},
		}
	}
	return []collector.Alert{{
		Group: "ebpf_network", Name: "TcpRetransmitRateHigh", For: 5 * time.Minute, Severity: "warning",
		Expr:        "max by (instance) (rate(ebpf_tcp_retransmits_total[5m])) > 10",
		Summary:     "{{ $labels.instance }} sends many TCP segments again",
		Description: `{{ $labels.instance }} sent {{ $value | printf "%.0f" }} TCP segments a second again in the last 5 minutes.`,
		Runbook: "rate(ebpf_tcp_retransmits_by_kind_total[5m]) says what. established is loss: topk(5, rate(ebpf_tcp_retransmits_by_dest{kind=\"established\",destination!=\"gone\"}[5m])) " +
			"says to whom: one destination is its path or the peer, all of them is this host's link (ip -s link, ethtool -S). " +
			"syn is peers that do not answer, or a scan from this host (ss -tp state syn-sent). " +
			"syn_ack is peers that do not complete a handshake: a flood of SYNs from forged addresses, or a lost way back (ss -tn state syn-recv).",
		Fires:  segments(12),
		Quiet:  segments(8),
		Labels: map[string]string{"instance": "db1"},
		Value:  12,
	}}
}
