// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/metric"
)

var update = flag.Bool("update", false, "write the golden files")

// dashboard is what the tests look at.
type dashboard struct {
	Title, Refresh, UID string
	Tags                []string
	Templating          struct{ List []variable }
	Panels              []panel
}

type variable struct {
	Name, Type, Query string
	IncludeAll, Multi bool
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  box
	Targets                  []target
	Datasource               struct{ UID string }
	FieldConfig              struct {
		Defaults struct {
			Min, Max   *float64
			Thresholds struct{ Steps []step }
			Custom     struct {
				Stacking, ThresholdsStyle struct{ Mode string }
			}
		}
	}
}

type target struct {
	RefID, Expr, Format, LegendFormat string
	Instant, Range                    bool
}

type step struct {
	Color string
	Value *float64
}

func generate(t *testing.T, specs []collector.Spec, unit metric.Unit) (dashboard, []byte) {
	t.Helper()
	raw, err := Dashboard(specs, unit)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d, raw
}

// titles are those of the panels, rows in capitals.
func (d dashboard) titles() (titles []string) {
	for _, p := range d.Panels {
		if p.Type == "row" {
			p.Title = strings.ToUpper(p.Title)
		}
		titles = append(titles, p.Title)
	}
	return titles
}

func (d dashboard) panel(t *testing.T, title string) panel {
	t.Helper()
	i := slices.IndexFunc(d.Panels, func(p panel) bool { return p.Title == title })
	if i < 0 {
		t.Fatalf("no panel %q", title)
	}
	return d.Panels[i]
}

// TestDashboardOfEverything holds the dashboard of the described collectors and those to come
// against its description, and against what it was before.
func TestDashboardOfEverything(t *testing.T) {
	d, raw := generate(t, everything(), metric.Microseconds)
	if want := []string{
		"SYSTEM HEALTH", "Disk I/O latency", "Run-queue latency", "Page cache hit ratio",
		"ZFS", "ARC hit ratio", "TXG sync", "ZIO latency p99", "Metaslab allocation p99",
		"NETWORK", "TCP retransmits", "WireGuard traffic", "WireGuard handshake age",
		"APPLICATION", "Top 10 system calls", "File operations by process", "Page faults and allocation order",
	}; !slices.Equal(d.titles(), want) {
		t.Errorf("panels %q, want %q", d.titles(), want)
	}
	if want := []string{"ebpf", "kernel", "zfs", "wireguard"}; d.Title != "eBPF Kernel Metrics" || d.Refresh != "30s" || d.UID != "kernscope" || !slices.Equal(d.Tags, want) {
		t.Errorf("%q, refresh %s, uid %s, tags %q", d.Title, d.Refresh, d.UID, d.Tags)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" && !(v.Multi && v.IncludeAll) {
			t.Errorf("one cannot choose several or all of %s", v.Name)
		}
	}
	if want := []string{"DS_PROMETHEUS", "instance", "device", "pool", "interface"}; !slices.Equal(variables, want) {
		t.Errorf("variables %q, want %q", variables, want)
	}
	if p := d.panel(t, "Disk I/O latency"); p.Type != "heatmap" || p.Targets[0].Format != "heatmap" {
		t.Errorf("disk latency is a %s of format %s", p.Type, p.Targets[0].Format)
	}
	if p := d.panel(t, "TXG sync"); p.FieldConfig.Defaults.Custom.ThresholdsStyle.Mode != "line" {
		t.Error("TXG sync has no line at its threshold")
	}
	if p := d.panel(t, "WireGuard traffic"); p.FieldConfig.Defaults.Custom.Stacking.Mode != "normal" {
		t.Error("WireGuard traffic is not stacked")
	}
	for title, want := range map[string]string{
		"Page cache hit ratio":    `[{"color":"red","value":null},{"color":"yellow","value":0.9},{"color":"green","value":0.95}]`,
		"ARC hit ratio":           `[{"color":"red","value":null},{"color":"yellow","value":0.9},{"color":"green","value":0.95}]`,
		"TXG sync":                `[{"color":"green","value":null},{"color":"red","value":3}]`,
		"WireGuard handshake age": `[{"color":"green","value":null},{"color":"yellow","value":120},{"color":"red","value":180}]`,
	} {
		var steps []string
		for _, s := range d.panel(t, title).FieldConfig.Defaults.Thresholds.Steps {
			value, _ := json.Marshal(s.Value)
			steps = append(steps, `{"color":"`+s.Color+`","value":`+string(value)+`}`)
		}
		if got := "[" + strings.Join(steps, ",") + "]"; got != want {
			t.Errorf("thresholds of %s are %s, want %s", title, got, want)
		}
	}

	const golden = "testdata/dashboard.json"
	if *update {
		if err := os.WriteFile(golden, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if before, err := os.ReadFile(golden); err != nil || !bytes.Equal(before, raw) {
		t.Errorf("the dashboard is not %s any more (%v): see the difference after go test ./internal/kit -run TestDashboard -update", golden, err)
	}
}

// TestDashboardOfOne: what is added elsewhere moves a panel, but changes
// nothing in it.
func TestDashboardOfOne(t *testing.T) {
	for _, specs := range [][]collector.Spec{everything(), builtin.Collectors()} {
		all, _ := generate(t, specs, metric.Seconds)
		for _, spec := range specs {
			d, _ := generate(t, []collector.Spec{spec}, metric.Seconds)
			for _, p := range d.Panels {
				if p.Type == "row" {
					continue
				}
				want := all.panel(t, p.Title)
				want.GridPos, p.GridPos = box{}, box{}
				got, _ := json.Marshal(p)
				if want, _ := json.Marshal(want); !bytes.Equal(got, want) {
					t.Errorf("%s alone:\n%s\namong all:\n%s", p.Title, got, want)
				}
			}
		}
	}
	if d, _ := generate(t, nil, metric.Seconds); len(d.Panels) != 0 {
		t.Errorf("no collectors, and the panels %q", d.titles())
	}
}

// TestDashboardGrid: no panel covers another or reaches beyond the page, no
// line has a hole, and every id is there once.
func TestDashboardGrid(t *testing.T) {
	var crowd []collector.Spec
	for i, kind := range []string{"heatmap", "timeseries", "stat", "table", "gauge", "bargauge", "stat", "heatmap", "timeseries", "timeseries", "timeseries"} {
		crowd = append(crowd, collector.Spec{
			Name:    "x",
			Metrics: []collector.Metric{family(collector.Counter, "ebpf_x_total")},
			Panels: []collector.Panel{{
				Row: collector.RowZFS, Place: i + 1, Type: kind, Title: strings.Repeat("x", i+1), Queries: []collector.Query{{Expr: "ebpf_x_total"}},
			}},
		})
	}
	for name, specs := range map[string][]collector.Spec{"everything": everything(), "builtin": builtin.Collectors(), "crowd": crowd, "one": crowd[:1]} {
		d, _ := generate(t, specs, metric.Microseconds)
		cells, ids, bottom := map[[2]int]string{}, map[int]string{}, 0
		for _, p := range d.Panels {
			g := p.GridPos
			if g.X < 0 || g.Y < 0 || g.W < 3 || g.H < 1 || g.X+g.W > 24 {
				t.Errorf("%s: %q is at %+v", name, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, ok := cells[[2]int{x, y}]; ok {
						t.Fatalf("%s: %q covers %q", name, p.Title, other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
			if other, ok := ids[p.ID]; ok || p.ID <= 0 {
				t.Errorf("%s: %q and %q have the id %d", name, p.Title, other, p.ID)
			}
			ids[p.ID] = p.Title
			bottom = max(bottom, g.Y+g.H)
		}
		if len(cells) != 24*bottom {
			t.Errorf("%s: %d of %d cells are covered", name, len(cells), 24*bottom)
		}
	}
}

// TestDashboardQueries: each has what was chosen in every selector, the right
// unit, a legend, and is of the form its panel wants.
func TestDashboardQueries(t *testing.T) {
	for _, specs := range [][]collector.Spec{everything(), builtin.Collectors()} {
		for _, unit := range []metric.Unit{metric.Microseconds, metric.Seconds} {
			checkQueries(t, specs, unit)
		}
	}
}

func checkQueries(t *testing.T, specs []collector.Spec, unit metric.Unit) {
	t.Helper()
	metrics := map[string]collector.Metric{}
	for _, s := range specs {
		for _, m := range s.Metrics {
			metrics[m.Name] = m
		}
	}
	selector := regexp.MustCompile(`\b(ebpf_\w+)(\{[^}]*\})?`)
	suffix := regexp.MustCompile(`(_(micro)?seconds)?(_bucket|_count|_sum)?$`)
	d, _ := generate(t, specs, unit)
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.Datasource.UID != "${DS_PROMETHEUS}" {
			t.Errorf("%s: description %q, data source %q", p.Title, p.Description, p.Datasource.UID)
		}
		for _, q := range p.Targets {
			if q.LegendFormat == "" || q.Instant == q.Range || q.Instant == strings.Contains(q.Expr, "$__rate_interval") && p.Type == "table" {
				t.Errorf("%s %s: %+v", p.Title, q.RefID, q)
			}
			for _, m := range selector.FindAllStringSubmatch(q.Expr, -1) {
				name := m[1]
				if other := map[metric.Unit]string{metric.Seconds: "_microseconds", metric.Microseconds: "_seconds"}[unit]; strings.Contains(name, other) && !strings.Contains(name, "handshake_age") {
					t.Errorf("%s %s: %s in %s", p.Title, q.RefID, name, unit)
				}
				of, ok := metrics[name]
				if !ok {
					of, ok = metrics[suffix.ReplaceAllString(name, "")]
				}
				if !ok {
					t.Errorf("%s %s: no collector has %s", p.Title, q.RefID, name)
					continue
				}
				for _, label := range []string{"instance", "device", "pool", "interface"} {
					want := label == "instance" || slices.ContainsFunc(of.Labels, func(l collector.Label) bool { return l.Name == label })
					if got := strings.Contains(m[2], label+`=~"$`+label+`"`); got != want {
						t.Errorf("%s %s: %s is filtered by %s: %v", p.Title, q.RefID, m[0], label, got)
					}
				}
			}
		}
	}
}

// TestVariables: each is asked of a metric that every scrape has, native or
// classic.
func TestVariables(t *testing.T) {
	d, _ := generate(t, everything(), metric.Microseconds)
	for i, want := range []string{
		"prometheus",
		`label_values({__name__=~"ebpf_page_cache_hits_total|ebpf_disk_io_latency_microseconds(_count)?|ebpf_file_ops_total|` +
			`ebpf_page_faults_minor_total|ebpf_sched_runqueue_latency_microseconds(_count)?|ebpf_syscalls_total|ebpf_tcp_retransmits_total|` +
			`ebpf_zfs_arc_hits_total|ebpf_zfs_txg_sync_microseconds(_count)?|ebpf_zfs_zio_read_latency_microseconds(_count)?|` +
			`ebpf_zfs_metaslab_alloc_microseconds(_count)?|ebpf_wireguard_bytes_total"}, instance)`,
		`label_values({__name__=~"ebpf_disk_io_latency_microseconds(_count)?", instance=~"$instance"}, device)`,
		`label_values({__name__=~"ebpf_zfs_txg_sync_microseconds(_count)?|ebpf_zfs_zio_read_latency_microseconds(_count)?|ebpf_zfs_metaslab_alloc_microseconds(_count)?", instance=~"$instance"}, pool)`,
		`label_values({__name__=~"ebpf_wireguard_bytes_total", instance=~"$instance"}, interface)`,
	} {
		if got := d.Templating.List[i].Query; got != want {
			t.Errorf("%s asks for\n%s\nwant\n%s", d.Templating.List[i].Name, got, want)
		}
	}
	// These have neither pools nor interfaces.
	d, _ = generate(t, described(), metric.Microseconds)
	if n := len(d.Templating.List); n != 3 {
		t.Errorf("the described collectors have %d variables: %+v", n, d.Templating.List)
	}
}

func TestDashboardErrors(t *testing.T) {
	good := collector.Panel{Row: collector.RowZFS, Place: 1, Type: "stat", Title: "T", Queries: []collector.Query{{Expr: "ebpf_x_total"}}}
	change := func(f func(p *collector.Panel)) []collector.Panel {
		p := good
		f(&p)
		return []collector.Panel{p}
	}
	for _, tc := range []struct {
		panels []collector.Panel
		want   string
	}{
		{change(func(p *collector.Panel) { p.Row = "Nowhere" }), `panel "T" of x: there is no row "Nowhere"`},
		{change(func(p *collector.Panel) { p.Type = "singlestat" }), `panel "T" of x: there is no type "singlestat"`},
		{change(func(p *collector.Panel) { p.Queries = nil }), `panel "T" of x: it has no query`},
		{change(func(p *collector.Panel) { p.Queries = []collector.Query{{Expr: "up"}} }), `panel "T" of x: the query asks for no metric of the collectors`},
		{change(func(p *collector.Panel) { p.Queries = []collector.Query{{Expr: "{{quantil}}"}} }), `panel "T" of x: parsing "{{quantil}}": `},
		{[]collector.Panel{good, good}, `panels "T" of x and "T" of x: both have place 1 of the row "ZFS"`},
	} {
		spec := collector.Spec{Name: "x", Metrics: []collector.Metric{family(collector.Counter, "ebpf_x_total")}, Panels: tc.panels}
		if _, err := Dashboard([]collector.Spec{spec}, metric.Seconds); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("error %v, want %s", err, tc.want)
		}
	}
}
