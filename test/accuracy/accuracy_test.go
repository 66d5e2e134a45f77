// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
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

// record returns a comparison on a machine, changed as the case wants it.
func record(row kerneltest.Row, machine string, change func(r *kerneltest.Record)) kerneltest.Record {
	r := kerneltest.Record{Row: row, Test: "TestIt", Machine: machine, Release: machine + ".0", Compared: true, Counted: 7, Least: 7, Most: 7}
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
		{"machine missing", []kerneltest.Record{record(reads, native, nil)}, "nothing was recorded on machine 6.1"},
		{"machine unknown", []kerneltest.Record{record(reads, "4.4", nil)}, `machine "4.4"`},
		{"nobody's metric", []kerneltest.Record{record(kerneltest.Row{Metric: "wait"}, "6.1", nil)}, "metrics that no collector serves: wait"},
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
		tested  []string
		want    string // in the error; "" is none
	}{
		{"same", []kerneltest.Record{record(reads, "6.1", func(r *kerneltest.Record) { r.Counted, r.Least, r.Most = 9, 9, 9 }), record(reads, native, nil)}, []string{"disk"}, ""},
		{"new row", []kerneltest.Record{record(reads, "6.1", nil), record(reads, native, nil), record(waits, "6.1", nil)}, nil, "the clock, 6.1: recorded, but not on the page"},
		{"not on this machine", []kerneltest.Record{record(reads, "6.1", nil)}, []string{"disk"}, ""},
		{"row gone", []kerneltest.Record{record(waits, "6.1", nil), record(reads, native, nil)}, []string{"disk"}, "fio, 6.1: on the page, but not recorded"},
		{"not its turn", []kerneltest.Record{record(waits, "6.1", nil), record(reads, native, nil)}, []string{"net"}, "anew:\n`wait_microseconds`, waiting, the clock, 6.1: recorded, but not on the page"},
		{"not conclusive", []kerneltest.Record{record(reads, "6.1", nil), record(kerneltest.Row{}, native, func(r *kerneltest.Record) { r.Compared, r.Why = false, "Busy." })}, []string{"disk"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fresh, r := render(tt.records...)
			err := sameRows(old, fresh, r, tt.tested)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadTested(t *testing.T) {
	dir := t.TempDir()
	const path = "\tgithub.com/kernscope/kernscope/collector/"
	list := "6.1" + path + "disk\n6.1" + path + "tcpretransmit\n6.12" + path + "tcpretransmit\n6.12" + path + "diskio\n"
	if err := os.WriteFile(filepath.Join(dir, "tested"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	specs := append(specs, collector.Spec{Name: "tcp-retransmit"})
	got, err := readTested(dir, []machine{{name: "6.1"}, {name: "6.12"}}, specs)
	if want := []string{"tcp-retransmit"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, want %v: %v", got, want, err)
	}
	if _, err := readTested(t.TempDir(), []machine{{name: "6.1"}}, specs); err == nil {
		t.Error("no error without a list")
	}
}

// TestEveryMetricIsCompared finds metrics that the committed page compares with
// nothing on some machine of the matrix that the collector can run on.
func TestEveryMetricIsCompared(t *testing.T) {
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := readMachines("../vm/machines")
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range uncompared(string(text), onPage(string(text), builtin.Collectors()), machines) {
		t.Error(complaint)
	}
}

func TestUncompared(t *testing.T) {
	const text = "\n## disk\n\n| metric | workload | source | 5.10 | 6.1 | native |\n|---|---|---|---:|---:|---:|\n" +
		"| `reads_total` | reading | fio | 7 | 7 | 7 |\n| `wait_microseconds` | waiting | the clock | – | 7 | 7 |\n"
	all := append(slices.Clone(specs), collector.Spec{Name: "tape", Metrics: []collector.Metric{{Name: "rewinds_total", Kind: collector.Counter}}})
	if got := onPage(text, all); len(got) != 1 || got[0].Name != "disk" {
		t.Errorf("on the page: %+v", got)
	}
	got := uncompared(text, all, []machine{{name: "5.10"}, {name: "6.1"}})
	want := []string{"compares wait with nothing on machine 5.10", "compares rewinds_total with nothing on machine 5.10", "compares rewinds_total with nothing on machine 6.1"}
	if !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDueOn(t *testing.T) {
	list := filepath.Join(t.TempDir(), "machines")
	if err := os.WriteFile(list, []byte("# name kernel modules\n\nbare 6.1 -\nfull 6.1 wireguard,zfs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	machines, err := readMachines(list)
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string][]string{"": {"bare", "full"}, "zfs": {"full"}, "nfs": nil} {
		spec := collector.Spec{}
		if module != "" {
			spec.Module = &collector.Module{Name: module}
		}
		due := slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return !dueOn(spec, m) })
		if got := namesOf(due); !slices.Equal(got, want) {
			t.Errorf("a collector of module %q is due on %v, want %v", module, got, want)
		}
	}
	if err := os.WriteFile(list, []byte("bare 6.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readMachines(list); err == nil {
		t.Error("a machine without modules is none: want an error")
	}
}
