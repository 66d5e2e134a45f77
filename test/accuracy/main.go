// SPDX-License-Identifier: Apache-2.0

// Command accuracy makes docs/ACCURACY.md of what the ground-truth tests have
// recorded (kerneltest.Accuracy), or checks it.
//
//	accuracy DIR            writes the page
//	accuracy --check DIR    fails if the page has other rows than were recorded
//
// DIR has a folder for each machine, and for --check the list "tested" of the
// matrix, which need not have tested every collector on every machine. Either
// fails if a machine is missing, if a difference is not explained, if a row is
// recorded by two tests, or if the page compares a metric with nothing on a
// machine that its collector can run on. It runs at the top of the repository.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/kernscope/kernscope/collector/builtin"
)

const page = "docs/ACCURACY.md"

func main() {
	check := flag.Bool("check", false, "compare the rows of the page with what was recorded; write nothing")
	flag.Parse()
	if err := run(*check, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run(check bool, args []string) error {
	if len(args) != 1 {
		return errors.New("takes one folder, of what was recorded")
	}
	machines, err := readMachines("test/vm/machines")
	if err != nil {
		return err
	}
	recorded, err := readRecords(args[0])
	if err != nil {
		return err
	}
	results, err := collect(recorded, namesOf(machines))
	if err != nil {
		return err
	}
	if results.releases[native] == "" {
		if refused := refusesBPF(); refused == "" {
			return errors.New("nothing was recorded on this machine's own kernel")
		} else {
			fmt.Println("Not compared on this machine's own kernel, which refuses BPF:", refused)
		}
	}
	text, err := render(results, builtin.Collectors())
	if err != nil {
		return err
	}
	complete := func(text string) error {
		if complaints := uncompared(text, builtin.Collectors(), machines); complaints != nil {
			return errors.New(strings.Join(complaints, "\n"))
		}
		return nil
	}
	if !check {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing the page: %w", err)
		}
		return complete(text)
	}
	committed, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	tested, err := readTested(args[0], machines, builtin.Collectors())
	if err != nil {
		return err
	}
	return errors.Join(complete(string(committed)), sameRows(string(committed), text, results, tested))
}
