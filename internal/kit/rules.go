// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// ruleFile is a file of rules as Prometheus reads it.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

// rule is a recording or an alerting rule.
type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations *annotations      `yaml:"annotations,omitempty"`
}

type annotations struct {
	Summary     string `yaml:"summary"`
	Description string `yaml:"description"`
	Runbook     string `yaml:"runbook"`
}

// Rules writes the recording and alerting rules of the specs and of kernscope
// itself, for the unit in which latencies are served. A rule that cannot be
// written, or that tells its reader nothing, is an error that names it.
func Rules(asked Asked) ([]byte, error) {
	specs, unit := asked.Specs, asked.Unit
	records, alerts := make(map[string][]rule), make(map[string][]rule)
	seen := make(map[string]bool)
	add := func(to map[string][]rule, group, name, text string, r rule) error {
		var err error
		if r.Expr, err = expand(text, unit); err != nil {
			return err
		}
		switch {
		case group == "":
			return errors.New("it is in no group")
		case r.Expr == "":
			return errors.New("it has no expression")
		case seen[name]:
			return errors.New("its name is taken")
		}
		seen[name] = true
		to[group] = append(to[group], r)
		return nil
	}
	for _, s := range append(slices.Clone(specs), Self(specs)) {
		for _, r := range s.Records {
			if err := add(records, r.Group, r.Name, r.Expr, rule{Record: r.Name}); err != nil {
				return nil, fmt.Errorf("recording rule %q of %s: %w", r.Name, s.Name, err)
			}
		}
		for _, a := range s.Alerts {
			err := checkAlert(a, s.Records)
			if err == nil {
				err = add(alerts, a.Group, a.Name, condition(a, unit), alertRule(a))
			}
			if err != nil {
				return nil, fmt.Errorf("alert %q of %s: %w", a.Name, s.Name, err)
			}
		}
	}
	var file ruleFile
	names := slices.Concat(slices.Collect(maps.Keys(records)), slices.Collect(maps.Keys(alerts)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		file.Groups = append(file.Groups, ruleGroup{Name: name, Rules: append(records[name], alerts[name]...)})
	}
	return asked.write(asked.command("rules", asked.units()), file,
		"Prometheus reads it by rule_files; the tests beside it are for promtool test rules.",
		"A condition on a quantile stands here twice: for native histograms, and for classic ones, within whose buckets",
		"Prometheus estimates otherwise. On the same observations both say the same.")
}

// condition returns what an alert is on, which is yet to be expanded.
func condition(a collector.Alert, unit metric.Unit) string {
	if a.Slow != nil {
		return slow(a.Slow, unit)
	}
	return a.Expr
}

// uses reports whether an expression, or a record that it names, has a piece of text.
func uses(expr, text string, records []collector.Record) bool {
	return strings.Contains(expr, text) || slices.ContainsFunc(records, func(r collector.Record) bool {
		return strings.Contains(expr, r.Name) && strings.Contains(r.Expr, text)
	})
}

func checkAlert(a collector.Alert, records []collector.Record) error {
	if a.Slow != nil {
		if err := checkSlow(a.Slow); err != nil {
			return err
		}
	}
	switch {
	case a.Slow != nil && a.Expr != "":
		return errors.New("it has two conditions")
	case uses(a.Expr, "quantile", records):
		return errors.New("an alert on a quantile is a Slow")
	case uses(a.Expr, "/ ", records) && len(a.Idle) == 0:
		return errors.New("an alert on a ratio needs series of an idle host, on which it is quiet")
	case a.Name == "":
		return errors.New("it has no name")
	case a.Severity != "warning" && a.Severity != "critical":
		return fmt.Errorf("severity %q is neither warning nor critical", a.Severity)
	case a.Summary == "" || a.Description == "" || a.Runbook == "":
		return errors.New("it lacks a summary, a description or a runbook")
	}
	return nil
}

func alertRule(a collector.Alert) rule {
	return rule{
		Alert:       a.Name,
		For:         model.Duration(a.For).String(),
		Labels:      map[string]string{"severity": a.Severity},
		Annotations: &annotations{Summary: a.Summary, Description: a.Description, Runbook: a.Runbook},
	}
}
