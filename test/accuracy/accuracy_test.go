// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

var (
	specs = []collector.Spec{{Name: "disk", Metrics: []collector.Metric{
		{Name: "reads_total", Kind: collector.Counter},
		{Name: "wait", Kind: collector.Histogram},
	}}}
	reads = kerneltest.Row{Metric: "reads_total", Workload: "reading", Source: "fio"}
	waits = kerneltest.Row{Metric: "wait_microseconds", Workload: "waiting", Source: "the clock"}
)

// record is a comparison on a kernel, changed as the case wants it.
func record(row kerneltest.Row, kernel string, change func(r *kerneltest.Record)) kerneltest.Record {
	r := kerneltest.Record{Row: row, Test: "TestIt", Kernel: kernel, Release: kernel + ".0", Compared: true, Counted: 7, Least: 7, Most: 7}
	if change != nil {
		change(&r)
	}
	return r
}

func TestCells(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *kerneltest.Record)
		want   string
	}{
		{"equal", nil, "7"},
		{"less", func(r *kerneltest.Record) { r.Counted, r.Least, r.Most = 994, 997, 997 }, "994 (997), 0.31 %"},
		{"more than nothing", func(r *kerneltest.Record) { r.Least, r.Most = 0, 0 }, "7 (0), 100 %"},
		{"between", func(r *kerneltest.Record) { r.Counted, r.Least, r.Most = 994, 990, 997 }, "994 (990…997), ≤ 0.41 %"},
		{"at the edge of a range", func(r *kerneltest.Record) { r.Most = 8 }, "7 (7…8), ≤ 12.5 %"},
		{"a hair", func(r *kerneltest.Record) { r.Counted, r.Least, r.Most = 1e6, 1e6+1, 1e6+1 }, "1000000 (1000001), 0.01 %"},
		{"a time", func(r *kerneltest.Record) { r.Time, r.Counted, r.Least, r.Most = true, .25, .25, .5 }, "0.2500 s (0.2500 s…0.5000 s), ≤ 50 %"},
		{"a ratio", func(r *kerneltest.Record) { r.Counted, r.Least, r.Most = .75, .75, .75 }, "0.7500"},
		{"none", func(r *kerneltest.Record) { r.Compared = false }, "not compared"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := cell(record(reads, "6.1", tt.change)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestCollectAndRender(t *testing.T) {
	off := func(why string) func(r *kerneltest.Record) {
		return func(r *kerneltest.Record) { r.Counted, r.Why = 6, why }
	}
	for _, tt := range []struct {
		name    string
		records []kerneltest.Record
		want    string // a part of the page or of the error
	}{
		{"equal", []kerneltest.Record{record(reads, "6.1", nil)}, "| `reads_total` | reading | fio | 7 | – |\n"},
		{"explained", []kerneltest.Record{record(reads, "6.1", off("Because."))}, "| 6 (7), 14.29 % <sup>1</sup> | – |\n\n1. Because.\n"},
		{"two rows, one reason", []kerneltest.Record{record(reads, "6.1", off("Because.")), record(waits, "6.1", off("Because."))},
			"| `wait_microseconds` | waiting | the clock | 6 (7), 14.29 % <sup>1</sup> | – |\n\n1. Because.\n"},
		{"not explained", []kerneltest.Record{record(reads, "6.1", off(""))}, "nothing explains"},
		{"the last attempt holds", []kerneltest.Record{record(reads, "6.1", off("")), record(reads, "6.1", nil)}, "| 7 | – |"},
		{"two tests", []kerneltest.Record{record(reads, "6.1", nil), record(reads, "6.1", func(r *kerneltest.Record) { r.Test = "TestOther" })}, "both record"},
		{"busy machine", []kerneltest.Record{record(reads, "6.1", nil),
			record(reads, native, func(r *kerneltest.Record) { r.Compared, r.Why = false, "Busy." })}, "| 7 | not compared <sup>1</sup> |\n\n1. Busy.\n"},
		{"a test that was not conclusive", []kerneltest.Record{record(reads, "6.1", nil),
			record(kerneltest.Row{}, native, func(r *kerneltest.Record) { r.Compared, r.Why = false, "Busy." })}, "| 7 | not compared <sup>1</sup> |\n\n1. Busy.\n"},
		{"another test that was not conclusive", []kerneltest.Record{record(reads, "6.1", nil),
			record(kerneltest.Row{}, native, func(r *kerneltest.Record) { r.Compared, r.Why, r.Test = false, "Busy.", "TestOther" })}, "| 7 | – |\n"},
		{"the matrix is never busy", []kerneltest.Record{record(reads, "6.1", func(r *kerneltest.Record) { r.Compared, r.Why = false, "Busy." })}, "nothing explains"},
		{"kernel missing", []kerneltest.Record{record(reads, native, nil)}, "nothing was recorded on kernel 6.1"},
		{"kernel unknown", []kerneltest.Record{record(reads, "4.4", nil)}, `kernel "4.4"`},
		{"nobody's metric", []kerneltest.Record{record(kerneltest.Row{Metric: "wait"}, "6.1", nil)}, "no collector's metric: wait"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var text string
			r, err := collect(tt.records, []string{"6.1"})
			if err == nil {
				text, err = render(r, specs)
			}
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, tt.want) {
				t.Errorf("lacks %q:\n%s", tt.want, text)
			}
		})
	}
}

func TestSameRows(t *testing.T) {
	render := func(records ...kerneltest.Record) (string, results) {
		r, err := collect(records, []string{"6.1"})
		if err != nil {
			t.Fatal(err)
		}
		text, err := render(r, specs)
		if err != nil {
			t.Fatal(err)
		}
		return text, r
	}
	old, _ := render(record(reads, "6.1", nil), record(reads, native, nil))
	for _, tt := range []struct {
		name    string
		records []kerneltest.Record
		want    string // in the error; "" is none
	}{
		{"same", []kerneltest.Record{record(reads, "6.1", func(r *kerneltest.Record) { r.Counted, r.Least, r.Most = 9, 9, 9 }), record(reads, native, nil)}, ""},
		{"new row", []kerneltest.Record{record(reads, "6.1", nil), record(reads, native, nil), record(waits, "6.1", nil)}, "the clock, 6.1: recorded, but not on the page"},
		{"not conclusive", []kerneltest.Record{record(reads, "6.1", nil), record(kerneltest.Row{}, native, func(r *kerneltest.Record) { r.Compared, r.Why = false, "Busy." })}, ""},
		{"not on this machine", []kerneltest.Record{record(reads, "6.1", nil)}, ""},
		{"row gone", []kerneltest.Record{record(waits, "6.1", nil), record(reads, native, nil)}, "fio, 6.1: on the page, but not recorded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fresh, r := render(tt.records...)
			err := sameRows(old, fresh, r)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// elsewhere are the collectors that the page does not have, with the reason.
var elsewhere = map[string]string{}

// TestEveryMetricIsCompared finds metrics that the committed page compares with
// nothing on some kernel of the matrix.
func TestEveryMetricIsCompared(t *testing.T) {
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	kernels, err := readKernels("../vm/kernels")
	if err != nil {
		t.Fatal(err)
	}
	var compared []string // "metric kernel"
	for c := range cells(string(text)) {
		metric, rest, _ := strings.Cut(strings.TrimPrefix(c, "`"), "`, ")
		compared = append(compared, metric+" "+rest[strings.LastIndex(rest, ", ")+2:])
	}
	for _, spec := range builtin.Collectors() {
		if elsewhere[spec.Name] != "" {
			continue
		}
		for _, m := range spec.Metrics {
			for _, k := range kernels {
				if !slices.ContainsFunc(compared, func(c string) bool {
					metric, kernel, _ := strings.Cut(c, " ")
					return is(m, metric) && kernel == k
				}) {
					t.Errorf("%s: no test compares %s on kernel %s", spec.Name, m.Name, k)
				}
			}
		}
	}
}
