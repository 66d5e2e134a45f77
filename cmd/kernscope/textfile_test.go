// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/pin"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// written are the files of a textfile directory, parsed as node_exporter does.
type written map[string]map[string]*dto.MetricFamily

func readFiles(t *testing.T, dir string) written {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(written)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		if files[e.Name()], err = parser.TextToMetricFamilies(bytes.NewReader(text)); err != nil {
			t.Fatalf("%s: %v", e.Name(), err)
		}
	}
	return files
}

// value is that of the sample with these labels among others, 0 if there is
// none.
func (w written) value(file, family string, labels map[string]string) float64 {
	for _, m := range w[file][family].GetMetric() {
		found := 0
		for _, l := range m.GetLabel() {
			if labels[l.GetName()] == l.GetValue() {
				found++
			}
		}
		if found == len(labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

// reads is how often the thread of [read] has read, as collector fileops says.
func (w written) reads() float64 {
	return w.value("fileops.prom", "ebpf_file_ops_total", map[string]string{"process": "textfile-reader", "operation": "read"})
}

// read reads so often, in a thread of its own name.
func read(t *testing.T, n int) {
	t.Helper()
	kerneltest.ReadAs(t, "textfile-reader", n)
}

// place is where a test's files and pins are.
type place struct{ files, bpffs, pins string }

func newPlace(t *testing.T) place {
	t.Helper()
	kerneltest.Open(t)
	bpffs := kerneltest.BPFFS(t)
	return place{files: t.TempDir(), bpffs: bpffs, pins: filepath.Join(bpffs, "kernscope")}
}

// args are the arguments of a run of the command: these, and what they leave to
// the place.
func (p place) args(these ...string) []string {
	args := append([]string{"textfile"}, these...)
	for flag, value := range map[string]string{"--directory=": p.files, "--pin-directory=": p.pins, "--window=": "10ms"} {
		if !slices.ContainsFunc(these, func(arg string) bool { return strings.HasPrefix(arg, flag) }) {
			args = append(args, flag+value)
		}
	}
	return args
}

// run runs the command, which must not fail, and returns its log.
func (p place) run(t *testing.T, more ...string) string {
	t.Helper()
	code, _, stderr := command(t, p.args(more...)...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return stderr
}

// runs runs the command in a process of its own, which must not fail, and does
// something all the while.
func (p place) runs(t *testing.T, do func(), more ...string) {
	t.Helper()
	process := start(t, nil, p.args(more...)...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if code, stderr := process.wait(); code != exitOK {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}()
	for {
		select {
		case <-ended:
			return
		default:
			do()
		}
	}
}

// pinned are the links and programs in the file system of pins.
func (p place) pinned(t *testing.T) (links []link.ID, programs []ebpf.ProgramID) {
	t.Helper()
	for found, err := range pin.WalkDir(p.pins, nil) {
		if err != nil {
			t.Fatal(err)
		}
		switch o := found.Object.(type) {
		case link.Link:
			info, err := o.Info()
			if err != nil {
				t.Fatal(err)
			}
			links = append(links, info.ID)
		case *ebpf.Program:
			info, err := o.Info()
			if err != nil {
				t.Fatal(err)
			}
			id, _ := info.ID()
			programs = append(programs, id)
		}
	}
	return links, programs
}

// TestTextfileOfAll holds all files against each other as node_exporter does,
// which refuses series that are there twice and help that differs.
func TestTextfileOfAll(t *testing.T) {
	p := newPlace(t)
	p.run(t)
	log := p.run(t, "--units=seconds")
	files := readFiles(t, p.files)
	if len(files) != len(builtin.Collectors()) {
		t.Errorf("%d files", len(files))
	}
	help, series := make(map[string]string), make(map[string]bool)
	for _, s := range builtin.Collectors() {
		name := collector.TextfileName(s.Name)
		if files.value(name, "kernscope_collector_success", map[string]string{"collector": s.Name}) != 1 {
			t.Errorf("%s does not say that it succeeded", name)
		}
		for family, f := range files[name] {
			if text, twice := help[family]; twice && text != f.GetHelp() {
				t.Errorf("%s: help %q and %q", family, text, f.GetHelp())
			}
			help[family] = f.GetHelp()
			for _, m := range f.GetMetric() {
				if key := fmt.Sprint(family, m.GetLabel()); series[key] {
					t.Errorf("%s is in two files", key)
				} else {
					series[key] = true
				}
				if m.TimestampMs != nil {
					t.Errorf("%s has a timestamp", family)
				}
			}
			for _, prefix := range []string{"go_", "process_", "kernscope_build_info"} {
				if strings.HasPrefix(family, prefix) {
					t.Errorf("%s is about a process that has ended", family)
				}
			}
		}
	}
	p.run(t, "--no-collector.diskio", "--units=seconds")
	if files := readFiles(t, p.files); files["diskio.prom"] != nil || len(files) != len(builtin.Collectors())-1 {
		t.Error("diskio is switched off, and its file or not all others are there")
	}
	if _, err := os.Stat(filepath.Join(p.pins, "diskio")); !os.IsNotExist(err) {
		t.Errorf("diskio is switched off, and pinned: %v", err)
	}
	// Another unit makes other histograms, and other metrics what they were.
	labels := func(name string) map[string]string { return map[string]string{"collector": name} }
	if files.value("schedlat.prom", "kernscope_collector_adopted", labels("schedlat")) != 0 ||
		files.value("fileops.prom", "kernscope_collector_adopted", labels("fileops")) != 1 {
		t.Error("another unit: schedlat is adopted, or fileops is not")
	}
	if n := strings.Count(log, "Removed what was pinned"); n == 0 || n == len(files) {
		t.Errorf("%d collectors say that pins were removed:\n%s", n, log)
	}
	if files["schedlat.prom"]["ebpf_sched_runqueue_latency_seconds"] == nil {
		t.Error("no latencies in seconds")
	}
}

// TestTextfileCountsBetweenRuns makes reads during, between and after runs:
// the files have all of them since the first.
func TestTextfileCountsBetweenRuns(t *testing.T) {
	p := newPlace(t)
	p.run(t, "fileops")
	total := 0
	for _, n := range []int{1009, 0, 97} {
		read(t, n)
		total += n
		p.run(t, "fileops", "--window=1h") // for which it need not wait
		if got := readFiles(t, p.files).reads(); got != float64(total) {
			t.Errorf("%v reads, %d were made", got, total)
		}
	}
	links, programs := p.pinned(t)
	if len(links) == 0 || len(programs) == 0 {
		t.Fatal("nothing is pinned: the test shows nothing")
	}
	if log := p.run(t, "--unpin"); !strings.Contains(log, `msg="Removed what was pinned, and detached it" collector=fileops`) {
		t.Errorf("nothing says what was detached: %q", log)
	}
	if n := remaining(links, programs); n > 0 {
		t.Errorf("%d links and programs stay in the kernel", n)
	}
	if _, err := os.Stat(p.pins); !os.IsNotExist(err) {
		t.Errorf("the directory of pins stays: %v", err)
	}
	if files := readFiles(t, p.files); len(files) > 0 {
		t.Errorf("files stay that nobody renews: %v", files)
	}
	p.run(t, "--unpin") // nothing to do
	read(t, 11)
	p.run(t, "fileops", "--no-pin")
	if got := readFiles(t, p.files).reads(); got != 0 {
		t.Errorf("%v reads after counting began anew, none were made", got)
	}
	if _, err := os.Stat(p.pins); !os.IsNotExist(err) {
		t.Errorf("--no-pin pins: %v", err)
	}
}

// TestTextfileWindow counts for the window if nothing is adopted.
func TestTextfileWindow(t *testing.T) {
	p := newPlace(t)
	p.runs(t, func() { read(t, 1) }, "--no-pin", "--window=3s", "fileops")
	if got := readFiles(t, p.files).reads(); got == 0 {
		t.Error("nothing was counted in the window")
	}
}

// TestTextfileRatio reads what it just wrote, which is in the page cache.
func TestTextfileRatio(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(t.TempDir(), "cached")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p.runs(t, func() {
		if _, err := os.ReadFile(file); err != nil {
			t.Error(err)
		}
	}, "--window=3s", "cachestat")
	ratio := readFiles(t, p.files)["cachestat.prom"]["ebpf_page_cache_hit_ratio"]
	if len(ratio.GetMetric()) != 1 || !strings.Contains(ratio.GetHelp(), "in the last full 3s") {
		t.Fatal(ratio)
	}
	if r := ratio.GetMetric()[0].GetGauge().GetValue(); r < 0.5 || r > 1 {
		t.Errorf("ratio %v", r)
	}
}
