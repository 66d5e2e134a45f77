// SPDX-License-Identifier: Apache-2.0

package fileops

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	const top = `topk(15, sum by (process) (rate(ebpf_file_ops_total[$__range])))`
	only := func(operation string) collector.Query {
		return collector.Query{
			Expr:   `sum by (process) (rate(ebpf_file_ops_total{operation="` + operation + `"}[$__range]))` + "\nand on (process) " + top,
			Legend: operation,
		}
	}
	return []collector.Panel{{
		Row: collector.RowApplication, Place: 2, Type: "table", Unit: "ops",
		Title:       "File operations by process",
		Description: "Opens, reads and writes per second of the fifteen processes with the most, on average over the time shown, on all instances chosen together.",
		Queries:     []collector.Query{{Expr: top, Legend: "all"}, only("open"), only("read"), only("write")},
	}}
}
