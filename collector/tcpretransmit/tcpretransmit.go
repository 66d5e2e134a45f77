// SPDX-License-Identifier: Apache-2.0

// Package tcpretransmit counts TCP segments that were sent again, in total and
// per destination. The README beside it says what is counted and what is not.
package tcpretransmit

import (
	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// Spec describes the collector.
func Spec() collector.Spec {
	spec := collector.Spec{
		Name: "tcp-retransmit",
		Help: "TCP segments sent again, in total and per destination",
		Port: 9116,
		Load: loadTcpretransmit,
		Hooks: []collector.Hook{
			{Name: "retransmit", Ways: collector.By("tcpretransmit_segment_typed", "tcpretransmit_segment_raw")},
			{Name: "SYN-ACK retransmit", Ways: collector.By("tcpretransmit_synack_typed", "tcpretransmit_synack_raw")},
		},
		Tables: []collector.Table{
			{Map: "tcpretransmit_kinds", Labels: []collector.Label{{Name: "kind"}}},
		},
		Metrics: []collector.Metric{
			{
				Name: "ebpf_tcp_retransmits_total", Kind: collector.Counter, Map: "tcpretransmit_total",
				Help: "TCP segments sent again, SYN and SYN-ACK included.",
			},
			{
				Name: "ebpf_tcp_retransmits_by_kind_total", Kind: collector.Counter, Map: "tcpretransmit_kinds",
				Help: "TCP segments sent again, by what the peer has answered: SYNs to it (syn), SYN-ACKs to whoever asked in its name (syn_ack), the rest (established).",
			},
		},
		Alerts: alerts(),
		Panels: panels(),
	} // Each kind has rows of its own. Rows of several tables that have the same
	// destination are served as one.
	destination := []collector.Label{{Name: "destination", As: label.Prefix}}
	for _, kind := range []string{"established", "syn", "syn_ack"} {
		addresses, prefixes := "tcpretransmit_"+kind+"_addresses", "tcpretransmit_"+kind+"_prefixes"
		spec.Tables = append(spec.Tables,
			collector.Table{Map: addresses, Labels: destination},
			collector.Table{Map: prefixes, Labels: destination, Overflow: &collector.Overflow{}})
		for _, rows := range []string{addresses, prefixes} {
			spec.Metrics = append(spec.Metrics, collector.Metric{
				Name: "ebpf_tcp_retransmits_by_dest", Kind: collector.Counter, Map: rows,
				Help: "TCP segments sent again, by destination: its address, or its network once there are too many.",
			})
		}
	}
	return spec
}
