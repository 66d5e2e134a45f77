// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/metric"
)

// servedNames returns the names of what is served, in either unit: those of the
// collectors, and those that the code about kernscope itself spells out.
func servedNames(t *testing.T) map[string]bool {
	t.Helper()
	served := make(map[string]bool)
	for _, s := range builtin.Collectors() {
		for _, m := range s.Metrics {
			for _, unit := range []metric.Unit{metric.Microseconds, metric.Seconds} {
				name := m.FullName(unit.String())
				served[name] = true
				if m.Kind == collector.Histogram || m.Kind == collector.LinearHistogram {
					served[name+"_bucket"], served[name+"_count"], served[name+"_sum"] = true, true, true
				}
			}
		}
	}
	quoted := regexp.MustCompile(`"(kernscope_\w+)"`)
	for _, file := range []string{"../engine/self.go", "../../cmd/kernscope/sandbox.go", "../../cmd/kernscope/capabilities.go"} {
		text, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		names := quoted.FindAllStringSubmatch(string(text), -1)
		if len(names) == 0 {
			t.Fatalf("%s spells out no name", file)
		}
		for _, name := range names {
			served[name[1]] = true
		}
	}
	return served
}

// unserved returns the names of metrics in a text for people that nothing serves.
func unserved(text string, served map[string]bool) (names []string) {
	for _, name := range regexp.MustCompile(`\b(ebpf|kernscope)_\w+`).FindAllString(text, -1) {
		if !served[name] {
			names = append(names, name)
		}
	}
	return names
}

// TestTextsNameWhatIsServed: who reads of a metric in a runbook, a description or
// a help finds it under that name.
func TestTextsNameWhatIsServed(t *testing.T) {
	served := servedNames(t)
	if got := unserved("ebpf_nothing, kernscope_nothing and kernscope_table_full", served); len(got) != 2 {
		t.Fatalf("of two names that nothing serves and one of a metric, unserved are %q", got)
	}
	specs := builtin.Collectors()
	for _, s := range append(specs, Self(specs)) {
		texts := make(map[string]string)
		for _, a := range s.Alerts {
			texts["alert "+a.Name] = a.Summary + "\n" + a.Description + "\n" + a.Runbook
		}
		for _, p := range s.Panels {
			texts["panel "+p.Title] = p.Title + "\n" + p.Description
		}
		for _, m := range s.Metrics {
			texts["metric "+m.Name] = m.Help
		}
		for where, text := range texts {
			for _, name := range unserved(text, served) {
				t.Errorf("%s of %s: nothing serves %s", where, s.Name, name)
			}
		}
	}
}

// TestRatesLeaveGoneOut: what is gone counted long ago, and its counts come in one
// piece. So each query of a metric whose rows can be given up leaves it out.
func TestRatesLeaveGoneOut(t *testing.T) {
	checked := 0
	for _, s := range builtin.Collectors() {
		gone := make(map[string]string) // the label that reads so, by the map
		for _, table := range s.Tables {
			switch {
			case table.Bound != nil:
				gone[table.Map] = table.Labels[0].Name
			case table.Owners != nil:
				owned := func(l collector.Label) bool { return l.Field == table.Owners.Field }
				gone[table.Map] = table.Labels[slices.IndexFunc(table.Labels, owned)].Name
			}
		}
		texts := make(map[string]string)
		for _, r := range s.Records {
			texts["record "+r.Name] = r.Expr
		}
		for _, a := range s.Alerts {
			texts["alert "+a.Name] = condition(a, metric.Seconds)
			texts["runbook of "+a.Name] = a.Runbook
		}
		for _, p := range s.Panels {
			for _, q := range p.Queries {
				texts["panel "+p.Title+", "+q.Legend] = q.Expr
			}
		}
		for _, m := range s.Metrics {
			label, given := gone[m.Map]
			if !given {
				continue
			}
			selector := regexp.MustCompile(`\b` + m.Name + `\w*(\{[^}]*\})?`)
			for where, text := range texts {
				for _, found := range selector.FindAllString(strings.ReplaceAll(text, `\"`, `"`), -1) {
					checked++
					if !strings.Contains(found, label+`!="gone"`) {
						t.Errorf("%s of %s: %s counts what is gone", where, s.Name, found)
					}
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no query of a metric whose rows can be given up")
	}
}
