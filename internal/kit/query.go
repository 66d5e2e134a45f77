// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/kernscope/kernscope/internal/metric"
)

// expand writes the PromQL of a spec for the unit in which latencies are served.
func expand(text string, unit metric.Unit) (string, error) {
	t, err := template.New("PromQL").Option("missingkey=error").Funcs(template.FuncMap{
		"name":    func(name string) string { return suffixed(name, "_"+unit.String()) },
		"seconds": func(name string) string { return inSeconds(unit, suffixed(name, "_"+unit.String())) },
		"buckets": func(name, window string) string { return buckets(unit, name, window) },
		"quantile": func(q float64, name, window string, by ...string) string {
			return quantile(unit, q, name, window, by)
		},
	}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("parsing %q: %w", text, err)
	}
	var out strings.Builder
	if err := t.Execute(&out, nil); err != nil {
		return "", fmt.Errorf("expanding %q: %w", text, err)
	}
	return out.String(), nil
}

// quantile returns the quantile of the native histogram where the server has it, else of the
// classic one.
func quantile(unit metric.Unit, q float64, name, window string, by []string) string {
	labels := strings.Join(by, ", ")
	native := fmt.Sprintf("histogram_quantile(%v, sum by (%s) (rate(%s[%s])))",
		q, labels, suffixed(name, "_"+unit.String()), window)
	classic := fmt.Sprintf("histogram_quantile(%v, sum by (%s) (rate(%s[%s])))",
		q, strings.Join(append(by[:len(by):len(by)], "le"), ", "), suffixed(name, "_"+unit.String()+"_bucket"), window)
	return inSeconds(unit, "("+native+"\nor "+classic+")")
}

// buckets returns the native histogram where the server has it, else the classic
// buckets: Grafana's heatmap takes either.
func buckets(unit metric.Unit, name, window string) string {
	return fmt.Sprintf("sum(increase(%s[%s]))\nor on () sum by (le) (increase(%s[%s]))",
		suffixed(name, "_"+unit.String()), window, suffixed(name, "_"+unit.String()+"_bucket"), window)
}

func inSeconds(unit metric.Unit, expr string) string {
	if perSecond := metric.Seconds / unit; perSecond > 1 {
		expr += fmt.Sprintf(" / %d", uint64(perSecond))
	}
	return expr
}

// suffixed appends to a metric's name, before its matchers if it has some.
func suffixed(name, suffix string) string {
	bare, matchers, _ := strings.Cut(name, "{")
	if matchers != "" {
		matchers = "{" + matchers
	}
	return bare + suffix + matchers
}
