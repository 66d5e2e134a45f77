// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/common/helpers/templates"
	"github.com/prometheus/common/model"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// RulesFile is the name under which the tests of rules find the rules.
const RulesFile = "kernscope.rules.yml"

// testFile is a file of tests as promtool reads it.
type testFile struct {
	RuleFiles          []string    `yaml:"rule_files"`
	EvaluationInterval string      `yaml:"evaluation_interval"`
	Tests              []testGroup `yaml:"tests"`
}

type testGroup struct {
	Name      string        `yaml:"name"`
	Interval  string        `yaml:"interval"`
	Input     []inputSeries `yaml:"input_series"`
	Evaluated []evaluation  `yaml:"alert_rule_test"`
}

type inputSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

// evaluation is which alerts of a name fire at a time.
type evaluation struct {
	Time   string   `yaml:"eval_time"`
	Alert  string   `yaml:"alertname"`
	Expect []firing `yaml:"exp_alerts"`
}

type firing struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations annotations       `yaml:"exp_annotations"`
}

// RuleTests writes tests of what [Rules] writes of the same specs: each alert
// fires when it should, not before its time, and not when it should not, when
// its series end, or when there never were any; all with classic and with
// native histograms. An alert that brings no series is an error.
func RuleTests(specs []collector.Spec, unit metric.Unit) ([]byte, error) {
	file := testFile{RuleFiles: []string{RulesFile}, EvaluationInterval: "1m"}
	nothing := testGroup{Name: "no data", Interval: "1m", Input: []inputSeries{}}
	for _, s := range append(slices.Clone(specs), selfRules()) {
		for _, a := range s.Alerts {
			groups, err := alertTests(a, unit)
			if err != nil {
				return nil, fmt.Errorf("tests of alert %q of %s: %w", a.Name, s.Name, err)
			}
			file.Tests = append(file.Tests, groups...)
			nothing.Evaluated = append(nothing.Evaluated, evaluation{Time: "1h", Alert: a.Name, Expect: []firing{}})
		}
	}
	file.Tests = append(file.Tests, nothing)
	return write("rule-tests --units="+unit.String(), specs, file, "Run by promtool test rules, beside "+RulesFile+".")
}

func alertTests(a collector.Alert, unit metric.Unit) ([]testGroup, error) {
	if len(a.Fires) == 0 || len(a.Quiet) == 0 {
		return nil, errors.New("series that make it fire and series that do not are both needed")
	}
	value := a.Value
	forms := []form{{write: classic}}
	for _, s := range a.Fires {
		if s.Latency > 0 {
			forms = []form{{" with a classic histogram", classic}, {" with a native histogram", native}}
			if value == 0 {
				_, value = bound(s.Latency, unit)
			}
		}
	}
	says, err := render(a, value)
	if err != nil {
		return nil, err
	}
	fires := []firing{{Labels: map[string]string{"severity": a.Severity}, Annotations: says}}
	maps.Copy(fires[0].Labels, a.Labels)

	// The data lasts until lasts. Long after, no window of a rate reaches it.
	const step = time.Minute
	lasts, gone := a.For+20*step, a.For+90*step
	at := func(t time.Duration, expect []firing) evaluation {
		return evaluation{Time: model.Duration(t).String(), Alert: a.Name, Expect: expect}
	}
	evaluated := []evaluation{at(lasts-step, fires), at(gone, []firing{})}
	if a.For >= step {
		evaluated = slices.Insert(evaluated, 0, at(a.For-step, []firing{}))
	}
	var groups []testGroup
	for _, f := range forms {
		groups = append(groups,
			testGroup{
				Name: a.Name + " fires" + f.name, Interval: "1m",
				Input:     input(a.Fires, f, unit, lasts),
				Evaluated: evaluated,
			},
			testGroup{
				Name: a.Name + " is quiet" + f.name, Interval: "1m",
				Input:     input(a.Quiet, f, unit, lasts),
				Evaluated: []evaluation{at(lasts-step, []firing{})},
			},
		)
	}
	return groups, nil
}

// render returns what the annotations read when an alert fires.
func render(a collector.Alert, value float64) (annotations, error) {
	says := annotations{a.Summary, a.Description, a.Runbook}
	for _, text := range []*string{&says.Summary, &says.Description, &says.Runbook} {
		t, err := template.New("annotation").Option("missingkey=error").Funcs(template.FuncMap{
			"humanizeDuration":   templates.HumanizeDuration,
			"humanizePercentage": func(v float64) string { return fmt.Sprintf("%.4g%%", v*100) },
		}).Parse("{{$labels := .Labels}}{{$value := .Value}}" + *text)
		if err != nil {
			return annotations{}, fmt.Errorf("parsing %q: %w", *text, err)
		}
		var out strings.Builder
		if err := t.Execute(&out, map[string]any{"Labels": a.Labels, "Value": value}); err != nil {
			return annotations{}, fmt.Errorf("expanding %q: %w", *text, err)
		}
		*text = out.String()
	}
	return says, nil
}
