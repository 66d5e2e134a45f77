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
		"name": func(name string) string { return suffixed(name, "_"+unit.String()) },
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

// quantile is that of the native histogram where the server has it, else of the
// classic one.
func quantile(unit metric.Unit, q float64, name, window string, by []string) string {
	labels := strings.Join(by, ", ")
	native := fmt.Sprintf("histogram_quantile(%v, sum by (%s) (rate(%s[%s])))",
		q, labels, suffixed(name, "_"+unit.String()), window)
	classic := fmt.Sprintf("histogram_quantile(%v, sum by (%s) (rate(%s[%s])))",
		q, strings.Join(append(by[:len(by):len(by)], "le"), ", "), suffixed(name, "_"+unit.String()+"_bucket"), window)
	both := "(" + native + " or " + classic + ")"
	if perSecond := metric.Seconds / unit; perSecond > 1 {
		both += fmt.Sprintf(" / %d", uint64(perSecond))
	}
	return both
}

// suffixed appends to a metric's name, before its matchers if it has some.
func suffixed(name, suffix string) string {
	bare, matchers, _ := strings.Cut(name, "{")
	if matchers != "" {
		matchers = "{" + matchers
	}
	return bare + suffix + matchers
}
