// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/collector"
)

// where is a cell of a page.
type where struct{ collector, row, machine string }

func (w where) String() string { return w.row + ", " + w.machine }

// cells returns the cells of a page that hold a comparison, by collector, row
// ("metric, workload, source") and machine. Numbers change from run to run;
// this does not.
func cells(page string) map[where]bool {
	there := make(map[where]bool)
	var machines []string
	var collector string
	for line := range strings.Lines(page) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			collector = strings.TrimSpace(name)
		}
		fields := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if fields[0] == "metric" {
			machines = fields[3:]
			continue
		}
		if !strings.HasPrefix(fields[0], "`") || len(fields) != 3+len(machines) {
			continue
		}
		for i, k := range machines {
			if fields[3+i] != absent {
				there[where{collector, strings.Join(fields[:3], ", "), k}] = true
			}
		}
	}
	return there
}

// uncompared returns a complaint for each metric that a page compares with
// nothing on a machine of the matrix that it is due on, and for each collector
// that is due on none.
func uncompared(text string, specs []collector.Spec, machines []machine) (complaints []string) {
	compared := cells(text)
	for _, spec := range specs {
		due := dueMachines(spec, machines)
		if len(due) == 0 {
			complaints = append(complaints, fmt.Sprintf("no machine of test/vm/machines has the module %s, which %s observes: add one", spec.Module.Name, spec.Name))
		}
		for _, m := range spec.Metrics {
			for _, on := range due {
				found := false
				for c := range compared {
					served, _, _ := strings.Cut(strings.TrimPrefix(c.row, "`"), "`")
					found = found || c.collector == spec.Name && c.machine == on.name && is(m, served)
				}
				if !found {
					complaints = append(complaints, fmt.Sprintf("%s compares %s with nothing on machine %s: a test of collector/%s must call kerneltest.Accuracy for it there, and make accuracy write the page anew",
						page, m.Name, on.name, strings.ReplaceAll(spec.Name, "-", "")))
				}
			}
		}
	}
	return complaints
}

// onPage returns those of the collectors that a page has a section of. One
// that is new has none until make accuracy has run.
func onPage(text string, specs []collector.Spec) []collector.Spec {
	return slices.DeleteFunc(slices.Clone(specs), func(s collector.Spec) bool { return !strings.Contains(text, "\n## "+s.Name+"\n") })
}

// sameRows fails if one page compares what the other does not, on a machine
// that this run has been on. The collectors are those it has tested on every
// machine: others have rows that it could not record.
func sameRows(committed, fresh string, r results, collectors []string) error {
	have, want := cells(committed), cells(fresh)
	var complaints []string
	for c := range want {
		if !have[c] {
			complaints = append(complaints, c.String()+": recorded, but not on the page")
		}
	}
	for c := range have {
		if !want[c] && r.releases[c.machine] != "" && slices.Contains(collectors, c.collector) {
			complaints = append(complaints, c.String()+": on the page, but not recorded")
		}
	}
	if len(complaints) == 0 {
		return nil
	}
	slices.Sort(complaints)
	return fmt.Errorf("%s is not of these tests; make accuracy writes it anew:\n%s", page, strings.Join(complaints, "\n"))
}
