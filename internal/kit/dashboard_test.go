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
	raw, err := Dashboard(Asked{Specs: specs, Unit: unit})
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

// TestDashboardOfGadget holds a dashboard of one panel of each type against its
// description, and against what it was before.
func TestDashboardOfGadget(t *testing.T) {
	d, raw := generate(t, []collector.Spec{gadget(), stowaway()}, metric.Microseconds)
	if want := []string{"SYSTEM HEALTH", "Turns by device", "NETWORK", "Turns", "Turn p99", "Slips", "Load", "Age"}; !slices.Equal(d.titles(), want) {
		t.Errorf("panels %q, want %q", d.titles(), want)
	}
	if d.Title != "eBPF Kernel Metrics" || d.Refresh != "30s" || d.UID != "kernscope" {
		t.Errorf("%q, refresh %s, uid %s", d.Title, d.Refresh, d.UID)
	}
	if p := d.panel(t, "Turns"); p.Type != "heatmap" || p.Targets[0].Format != "heatmap" {
		t.Errorf("the heatmap is a %s of format %s", p.Type, p.Targets[0].Format)
	}
	defaults := d.panel(t, "Turn p99").FieldConfig.Defaults
	if custom := defaults.Custom; custom.ThresholdsStyle.Mode != "line" || custom.Stacking.Mode != "normal" {
		t.Errorf("thresholds are drawn as %q, areas stacked as %q", custom.ThresholdsStyle.Mode, custom.Stacking.Mode)
	}
	steps, err := json.Marshal(defaults.Thresholds.Steps)
	if want := `[{"Color":"green","Value":null},{"Color":"yellow","Value":0.5},{"Color":"red","Value":0.9}]`; err != nil || string(steps) != want {
		t.Errorf("thresholds %s (%v), want %s", steps, err, want)
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
	for _, specs := range [][]collector.Spec{{gadget(), stowaway()}, builtin.Collectors()} {
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
			Metrics: []collector.Metric{{Name: "ebpf_x_total", Kind: collector.Counter}},
			Panels: []collector.Panel{{
				Row: collector.RowZFS, Place: i + 1, Type: kind, Title: strings.Repeat("x", i+1), Queries: []collector.Query{{Expr: "ebpf_x_total"}},
			}},
		})
	}
	for name, specs := range map[string][]collector.Spec{"gadget": {gadget()}, "builtin": builtin.Collectors(), "crowd": crowd, "one": crowd[:1]} {
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
	for _, specs := range [][]collector.Spec{{gadget(), stowaway()}, builtin.Collectors()} {
		for _, unit := range []metric.Unit{metric.Microseconds, metric.Seconds} {
			checkQueries(t, specs, unit)
		}
	}
}

func checkQueries(t *testing.T, specs []collector.Spec, unit metric.Unit) {
	t.Helper()
	labels := map[string][]collector.Label{} // by metric
	for _, s := range specs {
		for _, m := range s.Metrics {
			labels[m.Name] = s.LabelsOf(m)
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
				if other := map[metric.Unit]string{metric.Seconds: "_microseconds", metric.Microseconds: "_seconds"}[unit]; strings.Contains(name, other) {
					t.Errorf("%s %s: %s in %s", p.Title, q.RefID, name, unit)
				}
				of, ok := labels[name]
				if !ok {
					of, ok = labels[suffix.ReplaceAllString(name, "")]
				}
				if !ok {
					t.Errorf("%s %s: no collector has %s", p.Title, q.RefID, name)
					continue
				}
				for _, label := range choices() {
					want := label == "instance" || slices.ContainsFunc(of, func(l collector.Label) bool { return l.Name == label })
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
	d, _ := generate(t, []collector.Spec{gadget(), stowaway()}, metric.Microseconds)
	want := []variable{
		{Name: "DS_PROMETHEUS", Type: "datasource", Query: "prometheus"},
		{Name: "instance", Type: "query", Query: `label_values({__name__=~"ebpf_gadget_turns_total"}, instance)`, IncludeAll: true, Multi: true},
		{Name: "device", Type: "query", Query: `label_values({__name__=~"ebpf_gadget_turns_total", instance=~"$instance"}, device)`, IncludeAll: true, Multi: true},
		{Name: "interface", Type: "query", Query: `label_values({__name__=~"ebpf_gadget_age_microseconds", instance=~"$instance"}, interface)`, IncludeAll: true, Multi: true},
	}
	if !slices.Equal(d.Templating.List, want) {
		t.Errorf("variables\n%+v\nwant\n%+v", d.Templating.List, want)
	}
	latencies := collector.Spec{Name: "x", Metrics: []collector.Metric{{Name: "ebpf_x", Kind: collector.Histogram}}}
	d, _ = generate(t, []collector.Spec{gadget(), latencies}, metric.Seconds)
	if got, want := d.Templating.List[1].Query, `label_values({__name__=~"ebpf_gadget_turns_total|ebpf_x_seconds(_count)?"}, instance)`; got != want {
		t.Errorf("asks for\n%s\nwant\n%s", got, want)
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
		spec := collector.Spec{Name: "x", Metrics: []collector.Metric{{Name: "ebpf_x_total", Kind: collector.Counter}}, Panels: tc.panels}
		if _, err := Dashboard(Asked{Specs: []collector.Spec{spec}, Unit: metric.Seconds}); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("error %v, want %s", err, tc.want)
		}
	}
}
