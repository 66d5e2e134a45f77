// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
)

// addList adds the command that shows what there is, whatever the machine.
func addList(app *kingpin.Application, flags *collectorFlags) (string, action) {
	cmd := app.Command("list", "Show the collectors, their ports, metrics and options.")
	return cmd.FullCommand(), func(_ context.Context, env environment) error {
		w := tabwriter.NewWriter(env.stdout, 0, 8, 2, ' ', 0)
		for _, s := range flags.specs {
			port := "no port"
			if s.Port != 0 {
				port = fmt.Sprintf("port %d", s.Port)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, port, s.Help)
			seen := make(map[string]bool)
			for _, m := range s.Metrics {
				line := fmt.Sprintf("\t%s\t%s", kindName(m.Kind), signature(s, m, *flags.units))
				if m.When != "" {
					line += fmt.Sprintf(" with --collector.%s.%s", s.Name, m.When)
				}
				if m.Unless != "" {
					line += fmt.Sprintf(" without --collector.%s.%s", s.Name, m.Unless)
				}
				if !seen[line] {
					fmt.Fprintln(w, line)
				}
				seen[line] = true
			}
			for _, o := range s.Options {
				fmt.Fprintf(w, "\toption\t--collector.%s.%s: %s\n", s.Name, o.Name, o.Help)
			}
		}
		return w.Flush()
	}
}

// signature returns a family's name and labels.
func signature(s collector.Spec, m collector.Metric, unit string) string {
	var labels []string
	for _, l := range s.LabelsOf(m) {
		labels = append(labels, l.Name)
	}
	name := m.FullName(unit)
	if len(labels) == 0 {
		return name
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}

func kindName(k collector.Kind) string {
	switch k {
	case collector.Counter:
		return "counter"
	case collector.Histogram, collector.LinearHistogram:
		return "histogram"
	}
	return "gauge"
}
