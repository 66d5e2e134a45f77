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
	destination := []collector.Label{{Name: "destination", As: label.Prefix}}
	byDestination := collector.Metric{
		Name: "ebpf_tcp_retransmits_by_dest", Kind: collector.Counter,
		Help: "TCP segments sent again, by destination: its address, or its network once there are too many.",
	}
	addresses, prefixes := byDestination, byDestination
	addresses.Map, prefixes.Map = "tcpretransmit_addresses", "tcpretransmit_prefixes"
	return collector.Spec{
		Name: "tcp-retransmit",
		Help: "TCP segments sent again, in total and per destination",
		Port: 9116,
		Load: loadTcpretransmit,
		Hooks: []collector.Hook{
			{Name: "retransmit", Ways: collector.By("tcpretransmit_segment_typed", "tcpretransmit_segment_raw")},
			{Name: "SYN-ACK retransmit", Ways: collector.By("tcpretransmit_synack_typed", "tcpretransmit_synack_raw")},
		},
		Tables: []collector.Table{
			{Map: "tcpretransmit_addresses", Labels: destination},
			{Map: "tcpretransmit_prefixes", Labels: destination, Overflow: &collector.Overflow{}},
		},
		Metrics: []collector.Metric{
			{
				Name: "ebpf_tcp_retransmits_total", Kind: collector.Counter, Map: "tcpretransmit_total",
				Help: "TCP segments sent again, SYN and SYN-ACK included.",
			},
			addresses,
			prefixes,
		},
		Alerts: alerts(),
		Panels: panels(),
	}
}
