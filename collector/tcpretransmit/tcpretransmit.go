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
		Variables: []collector.Variable{{Name: "cfg_rows", Option: "rows"}},
		Options: []collector.Option{
			{Name: "rows", Default: 1024, Range: collector.Range{Least: 32, Most: 65536}, Help: "At most this many addresses of peers that have answered have a row of their own, half as many that have not, and half as many networks of each: up to three times this many series. The rest count as other or gone."},
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
	}
	// Each kind has rows and series of its own: a destination that is idle in one
	// kind is given up there, and no series of another kind falls.
	for kind, percent := range map[string]uint32{"established": 100, "syn": 50, "syn_ack": 50} {
		destination := []collector.Label{
			{Name: "destination", Field: "destination", As: label.Prefix}, {Name: "kind", Fixed: kind},
		}
		addresses := collector.Table{
			Map: "tcpretransmit_" + kind + "_addresses", Labels: destination,
			Bound: &collector.Bound{Option: "rows", Percent: percent},
		}
		prefixes := collector.Table{
			Map: "tcpretransmit_" + kind + "_prefixes", Labels: destination, Overflow: &collector.Overflow{},
			Bound: &collector.Bound{Option: "rows", Percent: percent / 2},
		}
		for _, t := range []collector.Table{addresses, prefixes} {
			spec.Tables = append(spec.Tables, t)
			spec.Metrics = append(spec.Metrics, collector.Metric{
				Name: "ebpf_tcp_retransmits_by_dest", Kind: collector.Counter, Map: t.Map,
				Help: "TCP segments sent again, by destination: its address, or its network once there are too many. The kinds are those of ebpf_tcp_retransmits_by_kind_total.",
			})
		}
	}
	return spec
}
