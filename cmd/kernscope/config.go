// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/internal/kit"
	"github.com/kernscope/kernscope/internal/metric"
)

// printer writes something of the collectors for another program.
type printer func(kit.Asked) ([]byte, error)

// printout is something that "kernscope config" prints.
type printout struct {
	name, help string
	// add adds the flags of its own.
	add func(*kingpin.CmdClause, *collectorFlags) printer
}

func printouts() []printout {
	plain := func(p printer) func(*kingpin.CmdClause, *collectorFlags) printer {
		return func(*kingpin.CmdClause, *collectorFlags) printer { return p }
	}
	return []printout{
		{"prometheus", "Print a configuration of Prometheus that scrapes the collectors.", addScrape},
		{"rules", "Print recording and alerting rules for Prometheus.", plain(kit.Rules)},
		{"rule-tests", "Print tests of these rules for promtool, which look for them in " + kit.RulesFile + ".", plain(kit.RuleTests)},
		{"dashboard", "Print a dashboard for Grafana.", plain(kit.Dashboard)},
		{"systemd", "Print units for systemd, which expect the program in /usr/bin.", addUnits},
	}
}

// configCommands add the commands that print what other programs are
// configured with, of the same collectors and in the same unit as serve takes.
func configCommands(app *kingpin.Application) []addCommand {
	parent := app.Command("config", "Print what other programs are configured with.")
	var commands []addCommand
	for _, p := range printouts() {
		commands = append(commands, func(_ *kingpin.Application, flags *collectorFlags) (string, action) {
			cmd := parent.Command(p.name, p.help)
			print := p.add(cmd, flags)
			named := flags.addNamed(cmd, "Only these collectors.")
			return cmd.FullCommand(), func(_ context.Context, env environment) error {
				specs, err := flags.chosen(*named)
				if err != nil {
					return err
				}
				unit, err := metric.ParseUnit(*flags.units)
				if err != nil {
					return fmt.Errorf("flag --units: %w", err)
				}
				text, err := print(kit.Asked{Specs: specs, Some: len(specs) < len(flags.specs), Unit: unit})
				if err != nil {
					return err
				}
				if _, err := env.stdout.Write(text); err != nil {
					return fmt.Errorf("printing: %w", err)
				}
				return nil
			}
		})
	}
	return commands
}

// addScrape adds the flags of how Prometheus is to scrape.
func addScrape(cmd *kingpin.CmdClause, _ *collectorFlags) printer {
	layout := cmd.Flag("layout", "Where the collectors are served: one-port or per-collector.").
		Default(string(kit.OnePort)).Enum(string(kit.OnePort), string(kit.PerCollector))
	hosts := cmd.Flag("target", "Host that serves kernscope, a name or an address without port; may be given again. (default: localhost)").
		PlaceHolder("HOST").Strings()
	textfiles := cmd.Flag("textfile-target", "Host that writes textfiles, which its node_exporter serves; may be given again.").
		PlaceHolder("HOST").Strings()
	alertmanagers := cmd.Flag("alertmanager", "Address of an Alertmanager, which alerts are sent to; may be given again.").
		PlaceHolder("HOST:PORT").Strings()
	native := cmd.Flag("native-histograms", "Ask for native histograms, as Prometheus can since 3.8.").
		Default("true").Bool()
	jobOnly := cmd.Flag("job-only", "Print kernscope's own job alone, for scrape_config_files of a Prometheus that has a configuration.").Bool()
	return func(asked kit.Asked) ([]byte, error) {
		if len(*hosts) == 0 && len(*textfiles) == 0 {
			*hosts = []string{"localhost"}
		}
		text, err := kit.Prometheus(asked, kit.Scrape{
			Layout:        kit.Layout(*layout),
			Hosts:         *hosts,
			Textfiles:     *textfiles,
			Native:        *native,
			Alertmanagers: *alertmanagers,
			JobOnly:       *jobOnly,
		})
		if err != nil {
			err = fmt.Errorf("%w: %w", err, errUsage)
		}
		return text, err
	}
}
