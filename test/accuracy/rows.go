// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// cells are those of a page that hold a comparison, as "metric, workload,
// source, kernel". Numbers change from run to run; this does not.
func cells(page string) map[string]bool {
	there := make(map[string]bool)
	var kernels []string
	for line := range strings.Lines(page) {
		fields := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if fields[0] == "metric" {
			kernels = fields[3:]
			continue
		}
		if !strings.HasPrefix(fields[0], "`") || len(fields) != 3+len(kernels) {
			continue
		}
		for i, k := range kernels {
			if fields[3+i] != absent {
				there[strings.Join(fields[:3], ", ")+", "+k] = true
			}
		}
	}
	return there
}

// sameRows fails if one page compares what the other does not, on a kernel
// that this run has been on.
func sameRows(committed, fresh string, r results) error {
	have, want := cells(committed), cells(fresh)
	var complaints []string
	for c := range want {
		if !have[c] {
			complaints = append(complaints, c+": recorded, but not on the page")
		}
	}
	for c := range have {
		kernel := c[strings.LastIndex(c, ", ")+2:]
		if !want[c] && r.releases[kernel] != "" {
			complaints = append(complaints, c+": on the page, but not recorded")
		}
	}
	if len(complaints) == 0 {
		return nil
	}
	slices.Sort(complaints)
	return fmt.Errorf("%s is not of these tests; make accuracy writes it anew:\n%s", page, strings.Join(complaints, "\n"))
}
