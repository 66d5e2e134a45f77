// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/collector"
)

// machine is one of the matrix: a kernel, and the modules that are loaded.
type machine struct {
	name    string
	modules []string
}

// readMachines returns the machines of the matrix from their list.
func readMachines(path string) (machines []machine, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the list of machines: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("%s: %q is not a name, a kernel and modules", path, strings.TrimSpace(line))
		}
		m := machine{name: words[0]}
		if words[2] != "-" {
			m.modules = strings.Split(words[2], ",")
		}
		machines = append(machines, m)
	}
	return machines, nil
}

// dueOn reports whether the collector can run on the machine, so that a test must
// compare its metrics there: the module that it observes is loaded.
func dueOn(spec collector.Spec, m machine) bool {
	return spec.Module == nil || slices.Contains(m.modules, spec.Module.Name)
}

// dueMachines returns the machines that the collector is due on.
func dueMachines(spec collector.Spec, machines []machine) []machine {
	return slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return !dueOn(spec, m) })
}

// namesOf returns the names of machines.
func namesOf(machines []machine) (names []string) {
	for _, m := range machines {
		names = append(names, m.name)
	}
	return names
}
