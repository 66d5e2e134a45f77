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
// its series end, when there never were any, or when there is little to do; all with
// classic and with native histograms of the same observations. An alert that
// brings no series is an error.
func RuleTests(asked Asked) ([]byte, error) {
	specs, unit := asked.Specs, asked.Unit
	file := testFile{RuleFiles: []string{RulesFile}, EvaluationInterval: "1m"}
	nothing := testGroup{Name: "no data", Interval: "1m", Input: []inputSeries{}}
	for _, s := range append(slices.Clone(specs), Self(specs)) {
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
	return asked.write(asked.command("rule-tests", asked.units()), file, "Run by promtool test rules, beside "+RulesFile+".")
}

// scenario is what a test feeds to Prometheus, and whether the alert then fires.
type scenario struct {
	name  string
	input []series
	fires bool
}

// scenarios returns what an alert is tested with.
func scenarios(a collector.Alert, unit metric.Unit) ([]scenario, error) {
	if len(a.Fires) == 0 || len(a.Quiet) == 0 {
		return nil, errors.New("series that make it fire and series that do not are both needed")
	}
	all := []scenario{{"fires", given(a.Fires, unit), true}, {"is quiet", given(a.Quiet, unit), false}}
	if len(a.Idle) > 0 {
		all = append(all, scenario{"is quiet on an idle host", given(a.Idle, unit), false})
	}
	if a.Slow == nil {
		return all, nil
	}
	more, err := slowScenarios(a.Slow, a.Fires[0].Name, unit)
	return append(all, more...), err
}

func alertTests(a collector.Alert, unit metric.Unit) ([]testGroup, error) {
	all, err := scenarios(a, unit)
	if err != nil {
		return nil, err
	}
	var groups []testGroup
	for _, s := range all {
		inForms := []form{{}}
		if slices.ContainsFunc(s.input, func(s series) bool { return s.observed != nil }) {
			inForms = forms()
		}
		for _, f := range inForms {
			group, err := s.test(a, f, unit)
			if err != nil {
				return nil, err
			}
			groups = append(groups, group)
		}
	}
	return groups, nil
}

// test writes the test of an alert in a scenario, with histograms in one form.
func (s scenario) test(a collector.Alert, f form, unit metric.Unit) (testGroup, error) {
	// The data lasts until lasts. Long after, no window of a rate reaches it.
	const step = time.Minute
	lasts, gone := a.For+20*step, a.For+90*step
	group := testGroup{Name: a.Name + " " + s.name + f.name, Interval: "1m", Input: []inputSeries{}}
	value := a.Value
	for i, in := range s.input {
		if in.observed == nil {
			group.Input = append(group.Input, inputSeries{
				Series: in.name,
				Values: fmt.Sprintf("%s+%sx%d", decimal(in.first), decimal(in.perMinute), lasts/step),
			})
			continue
		}
		var limits []time.Duration
		if a.Slow != nil {
			limits = append(limits, a.Slow.Limit)
		}
		h, err := in.histogram(metric.NewBuckets(unit).Around(limits...))
		if err != nil {
			return group, err
		}
		if i == 0 && a.Slow != nil {
			value = f.quantile(a.Slow.Quantile, h) * float64(unit) / float64(metric.Seconds)
		}
		group.Input = append(group.Input, f.write(suffixed(in.name, "_"+unit.String()), h, int(lasts/step))...)
	}
	at := func(t time.Duration, expect []firing) {
		group.Evaluated = append(group.Evaluated, evaluation{Time: model.Duration(t).String(), Alert: a.Name, Expect: expect})
	}
	if !s.fires {
		at(lasts-step, []firing{})
		return group, nil
	}
	says, err := render(a, value)
	if err != nil {
		return group, err
	}
	fires := firing{Labels: map[string]string{"severity": a.Severity}, Annotations: says}
	maps.Copy(fires.Labels, a.Labels)
	if a.For >= step {
		at(a.For-step, []firing{})
	}
	at(lasts-step, []firing{fires})
	at(gone, []firing{})
	return group, nil
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
