// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// environment is what a command has besides its flags.
type environment struct {
	stdout io.Writer
	logger *slog.Logger
}

// collectorFlags are the flags by which all commands choose collectors.
type collectorFlags struct {
	specs           []collector.Spec
	enabled         map[string]*bool
	asked           map[string]*bool       // set by the user, not by default
	options         map[string]*optionFlag // by "collector.option"
	disableDefaults *bool
	units           *string
	btf             *string
}

func addCollectorFlags(app *kingpin.Application, specs []collector.Spec) *collectorFlags {
	f := &collectorFlags{
		specs:   specs,
		enabled: make(map[string]*bool),
		asked:   make(map[string]*bool),
		options: make(map[string]*optionFlag),
	}
	f.units = app.Flag("units", "Unit of latencies, in names and values: microseconds or seconds.").
		Default("microseconds").Enum("microseconds", "seconds")
	f.btf = app.Flag("btf", "File with the kernel's type information (BTF), for kernels that do not publish their own.").
		PlaceHolder("FILE").String()
	f.disableDefaults = app.Flag("collector.disable-defaults", "Run only the collectors that are switched on by flag.").Bool()
	for _, s := range specs {
		f.asked[s.Name] = new(bool)
		f.enabled[s.Name] = app.Flag("collector."+s.Name, s.Help+".").
			Default("true").IsSetByUser(f.asked[s.Name]).Bool()
		for _, o := range s.Options {
			name := s.Name + "." + o.Name
			f.options[name] = addOption(app, "collector."+name, o)
		}
	}
	return f
}

// names returns the names of all collectors.
func (f *collectorFlags) names() []string {
	var names []string
	for _, s := range f.specs {
		names = append(names, s.Name)
	}
	return names
}

// collectorArgument is the name of the argument of commands that names a
// collector.
const collectorArgument = "collector"

// addNamed adds arguments that name collectors; shells complete them.
func (f *collectorFlags) addNamed(cmd *kingpin.CmdClause, help string) *[]string {
	return cmd.Arg(collectorArgument, help).HintOptions(f.names()...).Strings()
}

// check returns an error if there is no collector of the name.
func (f *collectorFlags) check(name string) error {
	if slices.Contains([]string{"serve", "textfile", "list", "doctor", "config", "help"}, name) {
		return fmt.Errorf("%q is a command: put it before its flags", name)
	}
	if !slices.Contains(f.names(), name) {
		return fmt.Errorf("unknown collector %q: there are %s", name, strings.Join(f.names(), ", "))
	}
	return nil
}

// chosen returns the collectors to run: the named ones or, if none is named, those
// that the flags leave on.
func (f *collectorFlags) chosen(named []string) ([]collector.Spec, error) {
	for _, name := range named {
		if err := f.check(name); err != nil {
			return nil, fmt.Errorf("%w: %w", err, errUsage)
		}
	}
	var chosen []collector.Spec
	for _, s := range f.specs {
		on := *f.enabled[s.Name] && (!*f.disableDefaults || *f.asked[s.Name])
		if len(named) > 0 {
			on = slices.Contains(named, s.Name)
		}
		if on {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no collector is left to run: %w", errUsage)
	}
	return chosen, nil
}

// switchedOff returns the names of collectors that the user does not want. Others
// that are not chosen may be another command's to run, as all are if some are
// named.
func (f *collectorFlags) switchedOff(named []string) []string {
	if len(named) > 0 {
		return nil
	}
	var names []string
	for _, name := range f.names() {
		if *f.asked[name] && !*f.enabled[name] {
			names = append(names, name)
		}
	}
	return names
}

// engineConfig returns the engine's configuration for the chosen collectors.
func (f *collectorFlags) engineConfig(specs []collector.Spec, logger *slog.Logger) (engine.Config, error) {
	unit, err := metric.ParseUnit(*f.units)
	if err != nil {
		return engine.Config{}, fmt.Errorf("flag --units: %w", err)
	}
	if err := checkDescriptors(specs); err != nil {
		return engine.Config{}, err
	}
	machine, err := kernel.Open(*f.btf)
	if err != nil {
		return engine.Config{}, fmt.Errorf("flag --btf: %w", err)
	}
	options := make(map[string]collector.Value)
	for _, s := range f.specs {
		served := slices.ContainsFunc(specs, func(c collector.Spec) bool { return c.Name == s.Name })
		for _, o := range s.Options {
			name := s.Name + "." + o.Name
			options[name] = f.options[name].value
			// No error: units of systemd that run a collector each share their flags.
			if f.options[name].isSet() && !served {
				logger.Warn("Option has no effect", "flag", "--collector."+name, "collector", s.Name)
			}
		}
	}
	return engine.Config{
		Specs:   specs,
		Options: options,
		Buckets: metric.NewBuckets(unit),
		Machine: machine,
		Logger:  logger,
	}, nil
}
