// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kit"
	"github.com/kernscope/kernscope/internal/metric"
)

// addUnits adds the flag of where the units are to be written, as they are
// several files.
func addUnits(cmd *kingpin.CmdClause) printer {
	directory := cmd.Flag("directory", "Write the files into this directory, such as /etc/systemd/system, instead of printing them.").
		PlaceHolder("DIR").String()
	return func(specs []collector.Spec, unit metric.Unit) ([]byte, error) {
		files, err := kit.Systemd(specs, serviceFlags(specs, unit)...)
		if err != nil {
			return nil, err
		}
		if *directory != "" {
			return nil, writeUnits(*directory, files)
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

// serviceFlags returns what services must be told to run these collectors in this
// unit: nothing, if that is what they do by default.
func serviceFlags(specs []collector.Spec, unit metric.Unit) []string {
	var flags []string
	if unit != metric.Microseconds {
		flags = append(flags, "--units="+unit.String())
	}
	if len(specs) < len(builtin.Collectors()) {
		flags = append(flags, "--collector.disable-defaults")
		for _, s := range specs {
			flags = append(flags, "--collector."+s.Name)
		}
	}
	return flags
}

// writeUnits writes files by their path in a directory, which must exist.
func writeUnits(directory string, files map[string][]byte) error {
	if _, err := os.Stat(directory); err != nil {
		return fmt.Errorf("flag --directory: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making room for %s: %w", name, err)
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("writing a unit: %w", err)
		}
	}
	return nil
}
