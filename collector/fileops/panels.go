// SPDX-License-Identifier: Apache-2.0

package fileops

import "github.com/kernscope/kernscope/collector"

func panels() []collector.Panel {
	// What is gone was in series of its own when it was counted: its counts
	// come in one piece.
	perSecond := func(matchers string) string {
		return `sum by (process) (max without (job, exporter) (rate(ebpf_file_ops_total{` + matchers + `process!="gone",cgroup!="gone"}[$__range])))`
	}
	top := `topk(15, ` + perSecond("") + `)`
	only := func(operation string) collector.Query {
		return collector.Query{
			Expr:   perSecond(`operation="`+operation+`", `) + "\nand on (process) " + top,
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
