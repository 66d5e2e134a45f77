// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
)

// readiness is which collectors must run for kernscope to be ready. A collector
// that waits counts as one that runs.
type readiness struct {
	// any means that one is enough, whichever it is.
	any bool
	// names are of those that must run, if one is not enough.
	names []string
}

// parseReadiness reads what the user wrote: "any", "all", or the names of some
// collectors that are to run.
func parseReadiness(text string, specs []collector.Spec) (readiness, error) {
	var all []string
	for _, s := range specs {
		all = append(all, s.Name)
	}
	switch text {
	case "any":
		return readiness{any: true}, nil
	case "all":
		return readiness{names: all}, nil
	}
	names := strings.Split(text, ",")
	for _, name := range names {
		if !slices.Contains(all, name) {
			return readiness{}, fmt.Errorf("flag --web.ready: %q is neither any, all nor a collector that is to run, of which there are %s: %w",
				name, strings.Join(all, ", "), errUsage)
		}
	}
	return readiness{names: names}, nil
}

// check returns an error that says why kernscope is not ready; nil if it is.
func (r readiness) check(states []engine.State) error {
	var lacking []string
	for _, s := range states {
		runs := s.Status == engine.Running || s.Status == engine.Waiting
		if r.any && runs {
			return nil
		}
		if slices.Contains(r.names, s.Collector) && !runs {
			lacking = append(lacking, fares(s))
		}
	}
	switch {
	case r.any:
		return errors.New("no collector runs")
	case lacking != nil:
		return errors.New(strings.Join(lacking, ", "))
	}
	return nil
}

// fares returns how a collector fares, as a clause.
func fares(s engine.State) string {
	if s.Status == engine.Failed {
		return s.Collector + " failed"
	}
	return fmt.Sprintf("%s is %s", s.Collector, s.Status)
}
