// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// where is a cell of a page.
type where struct{ collector, row, machine string }

func (w where) String() string { return w.row + ", " + w.machine }

// cells are those of a page that hold a comparison, by collector, row ("metric,
// workload, source") and machine. Numbers change from run to run; this does not.
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
