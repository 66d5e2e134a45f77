// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// dataSource is the variable that holds the data source. An input, which Grafana
// asks for at import, would have no value where it reads the dashboard from a
// disk.
const dataSource = "DS_PROMETHEUS"

func source() object { return object{"type": "prometheus", "uid": "${" + dataSource + "}"} }

// choices returns the labels that a user chooses by. Prometheus adds the first to
// every metric; the others are on the dashboard if a collector has them.
func choices() []string { return []string{"instance", "device", "pool", "interface"} }

// variables returns the drop-downs at the top of the dashboard.
func variables(specs []collector.Spec, unit metric.Unit) []object {
	out := []object{{
		"name": dataSource, "label": "Data source", "type": "datasource", "query": "prometheus",
		"refresh": 1, "hide": 0, "includeAll": false, "multi": false,
	}}
	for _, label := range choices() {
		names := examples(specs, label, unit)
		if len(names) == 0 {
			continue
		}
		matchers := []string{`__name__=~"` + strings.Join(names, "|") + `"`}
		if label != "instance" {
			matchers = append(matchers, filter("instance"))
		}
		out = append(out, object{
			"name": label, "label": strings.ToUpper(label[:1]) + label[1:], "type": "query", "datasource": source(),
			"query":   fmt.Sprintf("label_values({%s}, %s)", strings.Join(matchers, ", "), label),
			"refresh": 2, // whenever the time shown changes
			"sort":    1, // alphabetically
			"hide":    0, "includeAll": true, "multi": true, "allValue": ".*",
			"current": object{"text": []string{"All"}, "value": []string{"$__all"}},
		})
	}
	return out
}

// examples returns the names of one metric of each collector that has the label.
func examples(specs []collector.Spec, label string, unit metric.Unit) (names []string) {
	for _, s := range specs {
		i := slices.IndexFunc(s.Metrics, func(m collector.Metric) bool {
			return m.When == "" && m.Kind != collector.Ratio && slices.Contains(chosenBy(s, m), label)
		})
		if i < 0 {
			continue
		}
		name := s.Metrics[i].FullName(unit.String())
		switch s.Metrics[i].Kind {
		case collector.Histogram: // native or classic
			name += "(_count)?"
		case collector.LinearHistogram:
			name += "_count"
		}
		names = append(names, name)
	}
	return names
}

// chosenBy returns those of the choices that a metric has as a label.
func chosenBy(s collector.Spec, m collector.Metric) (labels []string) {
	for _, c := range choices() {
		if c == "instance" || slices.ContainsFunc(s.LabelsOf(m), func(l collector.Label) bool { return l.Name == c }) {
			labels = append(labels, c)
		}
	}
	return labels
}

func filter(label string) string { return fmt.Sprintf(`%s=~"$%s"`, label, label) }

// filters are, by the name of what is served, the matchers of what the user
// chose.
type filters map[string]string

func newFilters(specs []collector.Spec, unit metric.Unit) filters {
	out := make(filters)
	for _, s := range specs {
		for _, m := range s.Metrics {
			var matchers []string
			for _, label := range chosenBy(s, m) {
				matchers = append(matchers, filter(label))
			}
			for _, name := range []string{m.Name, m.FullName(unit.String())} {
				for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
					out[name+suffix] = strings.Join(matchers, ", ")
				}
			}
		}
	}
	return out
}

// add puts the matchers into every selector of a query.
func (f filters) add(expr string) (string, error) {
	found := false
	expr = selectors().ReplaceAllStringFunc(expr, func(s string) string {
		name, open := strings.CutSuffix(s, "{")
		matchers, ok := f[name]
		if !ok {
			return s
		}
		found = true
		if open {
			return name + "{" + matchers + ", "
		}
		return name + "{" + matchers + "}"
	})
	if !found {
		return "", errors.New("the query asks for no metric of the collectors")
	}
	return expr, nil
}

// selectors matches names, some with the brace that opens their matchers, and
// passes over strings.
var selectors = pattern(`"[^"]*"|'[^']*'|[a-zA-Z_:][a-zA-Z0-9_:]*\{?`)
