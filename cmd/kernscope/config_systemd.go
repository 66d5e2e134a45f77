// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kit"
)

// addUnits adds the flag of where the units are to be written, as they are
// several files.
func addUnits(cmd *kingpin.CmdClause, collectors *collectorFlags) printer {
	var toDirectory bool
	directory := cmd.Flag("directory", "Write the files into this directory, such as /etc/systemd/system, instead of printing them.").
		PlaceHolder("DIR").IsSetByUser(&toDirectory).String()
	return func(asked kit.Asked) ([]byte, error) {
		files, err := kit.Systemd(asked, serviceFlags(collectors, asked)...)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, errUsage)
		}
		if toDirectory {
			if *directory == "" {
				return nil, fmt.Errorf("flag --directory: it is empty: %w", errUsage)
			}
			if err := kit.Install(*directory, files); err != nil {
				return nil, fmt.Errorf("flag --directory: %w", err)
			}
			return nil, nil
		}
		// As "systemctl cat" prints several.
		var out bytes.Buffer
		for i, name := range slices.Sorted(maps.Keys(files)) {
			if i > 0 {
				out.WriteByte('\n')
			}
			fmt.Fprintf(&out, "# %s\n%s", name, files[name])
		}
		return out.Bytes(), nil
	}
}

// serviceFlags returns what the user set for all commands, which services must be
// told too.
func serviceFlags(collectors *collectorFlags, asked kit.Asked) (flags []string) {
	if *collectors.btf != "" {
		flags = append(flags, "--btf="+*collectors.btf)
	}
	for _, s := range asked.Specs {
		for _, o := range s.Options {
			name := "collector." + s.Name + "." + o.Name
			switch option := collectors.options[s.Name+"."+o.Name]; {
			case !option.isSet():
			case !option.IsBoolFlag():
				flags = append(flags, "--"+name+"="+option.String())
			case collector.IsOn(option.value):
				flags = append(flags, "--"+name)
			default:
				flags = append(flags, "--no-"+name)
			}
		}
	}
	return flags
}
