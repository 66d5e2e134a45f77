// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// parse parses a command line and returns the name of the command. It refuses
// what kingpin would take for something else, and names the flag that is wrong.
func parse(app *kingpin.Application, collectors *collectorFlags, args []string) (string, error) {
	args, err := withBooleans(app.Model(), args)
	if err != nil {
		return "", err
	}
	if err := checkHelp(app.Model(), args); err != nil {
		return "", err
	}
	// If this fails, so does parsing below, except for the shells' completion.
	context, _ := app.ParseContext(args)
	helps := slices.Contains(args, "--help") || slices.Contains(args, "-h")
	for clause, value := range values(context) {
		switch clause := clause.(type) {
		case *kingpin.FlagClause:
			if value == "" {
				return "", fmt.Errorf("flag --%s: give a value", clause.Model().Name)
			}
		case *kingpin.ArgClause: // kingpin would print the help of the default command
			if helps && clause.Model().Name == collectorArgument {
				if err := collectors.check(value); err != nil {
					return "", err
				}
			}
		}
	}
	name, err := app.Parse(args)
	if err == nil {
		return name, nil
	}
	// The error of a value does not say whose it is. Each is set once more, to see.
	for clause, value := range values(context) {
		if flag, ok := clause.(*kingpin.FlagClause); ok {
			if err := flag.Model().Value.Set(value); err != nil {
				return "", fmt.Errorf("flag --%s: %w", flag.Model().Name, err)
			}
		}
	}
	return "", err
}

// values returns the flags and arguments that have values.
func values(context *kingpin.ParseContext) iter.Seq2[any, string] {
	return func(yield func(any, string) bool) {
		if context == nil {
			return
		}
		for _, e := range context.Elements {
			if e.Value != nil && !yield(e.Clause, *e.Value) {
				return
			}
		}
	}
}

// withBooleans returns the arguments with --x=true written as --x and --x=false
// as --no-x, for flags that are on or off: kingpin would take the value for an
// argument.
func withBooleans(model *kingpin.ApplicationModel, args []string) ([]string, error) {
	var boolean []string
	for _, f := range allFlags(model.FlagGroupModel, model.CmdGroupModel) {
		if f.IsBoolFlag() {
			boolean = append(boolean, f.Name)
		}
	}
	args = slices.Clone(args)
	for i, arg := range args {
		name, value, has := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		switch {
		case arg == "--":
			return args, nil
		case !strings.HasPrefix(arg, "--") || !has || !slices.Contains(boolean, strings.TrimPrefix(name, "no-")):
		case value == "true":
			args[i] = "--" + name
		case value == "false" && !strings.HasPrefix(name, "no-"):
			args[i] = "--no-" + name
		default:
			return nil, fmt.Errorf("flag --%s is on or off: write --%s or --no-%s, not %q", name, strings.TrimPrefix(name, "no-"), strings.TrimPrefix(name, "no-"), value)
		}
	}
	return args, nil
}

// allFlags returns the flags of all commands.
func allFlags(flags *kingpin.FlagGroupModel, commands *kingpin.CmdGroupModel) []*kingpin.FlagModel {
	all := slices.Clone(flags.Flags)
	for _, c := range commands.Commands {
		all = append(all, allFlags(c.FlagGroupModel, c.CmdGroupModel)...)
	}
	return all
}

// checkHelp returns an error if help is asked for a command that there is not:
// kingpin would print that of all, as if nothing were wrong.
func checkHelp(model *kingpin.ApplicationModel, args []string) error {
	if len(args) == 0 || args[0] != "help" {
		return nil
	}
	commands := model.CmdGroupModel
	for _, name := range args[1:] {
		if strings.HasPrefix(name, "-") {
			continue
		}
		at := slices.IndexFunc(commands.Commands, func(c *kingpin.CmdModel) bool { return c.Name == name })
		if at < 0 {
			var names []string
			for _, c := range commands.Commands {
				names = append(names, c.Name)
			}
			if names == nil {
				return fmt.Errorf("no help for %q: help takes the name of a command", name)
			}
			return fmt.Errorf("unknown command %q: there are %s", name, strings.Join(names, ", "))
		}
		commands = commands.Commands[at].CmdGroupModel
	}
	return nil
}
