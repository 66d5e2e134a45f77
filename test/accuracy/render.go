// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

// absent is the cell of a machine on which no test compared anything.
const absent = "–"

const intro = `# Accuracy

This page compares what the collectors counted with what an independent source says about the same work. The ground-truth tests make
each comparison and record it. ` + "`make accuracy`" + ` runs these tests on every machine of the matrix and writes this page.

- **997**: the collector counted 997, and the source says the same.
- **994 (997), 0.3 %**: the collector counted 994, and the source says 997.
- **994 (990…997), ≤ 0.4 %**: the collector counted 994. The source says only that the number is between 990 and 997.
- **–**: the test did not compare on this machine, because it needs another one of the matrix.
- **not compared**: other work on the machine disturbed every attempt. This happens only on **native**, the machine that wrote this page.

A small number at the end of a cell refers to the reason for the difference, below the table. A test fails if the difference is larger
than its reason allows. The test computes what the reason allows in the same run: from the events that the kernel says it did not deliver
to a program, or from counters that the test read before and after. CI fails if this page lacks a row that the tests record, or has a row
that they do not record.
`

// render returns the page. It fails if a record has a metric that no collector serves.
func render(r results, specs []collector.Spec) (string, error) {
	var page strings.Builder
	page.WriteString(intro)
	page.WriteString("\n| machine | kernel |\n|---|---|\n")
	for _, k := range r.machines {
		fmt.Fprintf(&page, "| %s | %s |\n", k, cmp.Or(r.releases[k], absent))
	}
	rendered := 0
	for _, spec := range specs {
		rows := rowsOf(spec, r)
		if len(rows) > 0 {
			fmt.Fprintf(&page, "\n## %s\n\n%s", spec.Name, table(rows, r))
		}
		rendered += len(rows)
	}
	if rendered != len(r.cells) {
		return "", errors.New("some records have metrics that no collector serves: " + strings.Join(strangers(r, specs), ", "))
	}
	return page.String(), nil
}

// rowsOf returns the rows of a collector, in the order of its metrics. Two metrics may have one
// name, if an option chooses between them.
func rowsOf(spec collector.Spec, r results) (rows []kerneltest.Row) {
	for _, m := range spec.Metrics {
		first := len(rows)
		for row := range r.cells {
			if is(m, row.Metric) && !slices.Contains(rows, row) {
				rows = append(rows, row)
			}
		}
		slices.SortFunc(rows[first:], func(a, b kerneltest.Row) int {
			return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Source, b.Source))
		})
	}
	return rows
}

// is reports whether a family, as it is served by default, is the metric.
func is(m collector.Metric, served string) bool {
	return m.FullName(metric.Microseconds.String()) == served
}

// strangers returns the names of the recorded metrics that no collector serves.
func strangers(r results, specs []collector.Spec) []string {
	names := make(map[string]bool)
	for row := range r.cells {
		names[row.Metric] = true
	}
	for _, spec := range specs {
		for _, row := range rowsOf(spec, r) {
			delete(names, row.Metric)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// table returns the table of one collector, with the reasons below it.
func table(rows []kerneltest.Row, r results) string {
	var text strings.Builder
	fmt.Fprintf(&text, "| metric | workload | source | %s |\n", strings.Join(r.machines, " | "))
	fmt.Fprintf(&text, "|---|---|---|%s\n", strings.Repeat("---:|", len(r.machines)))
	var reasons []string
	for _, row := range rows {
		fmt.Fprintf(&text, "| `%s` | %s | %s |", row.Metric, row.Workload, row.Source)
		for _, k := range r.machines {
			c, there := r.cells[row][k]
			if !there {
				text.WriteString(" " + absent + " |")
				continue
			}
			text.WriteString(" " + cell(c))
			if !exact(c) {
				i := slices.Index(reasons, c.Why)
				if i < 0 {
					i = len(reasons)
					reasons = append(reasons, c.Why)
				}
				fmt.Fprintf(&text, " <sup>%d</sup>", i+1)
			}
			text.WriteString(" |")
		}
		text.WriteByte('\n')
	}
	for i, reason := range reasons {
		if i == 0 {
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "%d. %s\n", i+1, reason)
	}
	return text.String()
}

// cell returns what the collector counted. If the source differs, cell adds what it says and how
// large the difference is at most.
func cell(r kerneltest.Record) string {
	if !r.Compared {
		return "not compared"
	}
	counted := quantity(r, r.Counted)
	if exact(r) {
		return counted
	}
	off := percent(max(math.Abs(r.Counted-r.Least), math.Abs(r.Most-r.Counted)), max(r.Counted, r.Most))
	if r.Least == r.Most {
		return fmt.Sprintf("%s (%s), %s", counted, quantity(r, r.Least), off)
	}
	return fmt.Sprintf("%s (%s…%s), ≤ %s", counted, quantity(r, r.Least), quantity(r, r.Most), off)
}

// quantity returns a number of a record as text.
func quantity(r kerneltest.Record, v float64) string {
	if r.Time {
		return strconv.FormatFloat(v, 'f', 4, 64) + " s"
	}
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

// percent returns part of whole in percent, rounded up.
func percent(part, whole float64) string {
	return strconv.FormatFloat(math.Ceil(1e4*part/whole)/100, 'f', -1, 64) + " %"
}
