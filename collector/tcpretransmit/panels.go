// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	return []collector.Panel{{
		Row: collector.RowNetwork, Place: 1, Type: "timeseries", Unit: "cps",
		Title:       "TCP retransmits",
		Description: "TCP segments sent again per second, SYN and SYN-ACK included.",
		Queries: []collector.Query{{
			Expr:   `max by (instance) (rate(ebpf_tcp_retransmits_total[$__rate_interval]))`,
			Legend: "{{instance}}",
		}},
	}}
}
