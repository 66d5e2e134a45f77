// SPDX-License-Identifier: Apache-2.0

// Command deploy writes into a folder what users install besides the binary. The files are what
// "kernscope config" prints for all built-in collectors, in the default unit.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kit"
	"github.com/kernscope/kernscope/internal/metric"
)

//go:generate go run . ../../../deploy

// folders returns the generator of each folder. The generators write all files of their folders, so
// any other file there is stale.
func folders() map[string]func(kit.Asked) (map[string][]byte, error) {
	return map[string]func(kit.Asked) (map[string][]byte, error){
		"prometheus": prometheus,
		"grafana":    grafana,
		"systemd":    func(asked kit.Asked) (map[string][]byte, error) { return kit.Systemd(asked) },
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deploy FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

// write writes all folders below root and removes stale files.
func write(root string) error {
	for folder, generate := range folders() {
		files, err := generate(kit.Asked{Specs: builtin.Collectors(), Unit: metric.Microseconds})
		if err != nil {
			return fmt.Errorf("generating %s: %w", folder, err)
		}
		if err := replace(filepath.Join(root, folder), files); err != nil {
			return err
		}
	}
	return nil
}

// replace writes files, by their path in a folder, and removes all other files of the folder.
func replace(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("creating a folder: %w", err)
	}
	if err := kit.Install(dir, files); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("looking for stale files: %w", err)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || entry.IsDir() {
			return err
		}
		if _, fresh := files[name]; fresh {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing a stale file: %w", err)
		}
		return nil
	})
}

// prometheus returns a scrape configuration for each arrangement of ports, the job alone for a
// Prometheus that has a configuration, the rules, and the tests of the rules.
func prometheus(asked kit.Asked) (map[string][]byte, error) {
	var errs []error
	scrape := func(layout kit.Layout, jobOnly bool) []byte {
		text, err := kit.Prometheus(asked, kit.Scrape{Layout: layout, Hosts: []string{"localhost"}, Native: true, JobOnly: jobOnly})
		errs = append(errs, err)
		return text
	}
	rules, err := kit.Rules(asked)
	errs = append(errs, err)
	tests, err := kit.RuleTests(asked)
	errs = append(errs, err)
	return map[string][]byte{
		"kernscope.yml":               scrape(kit.OnePort, false),
		"kernscope-per-collector.yml": scrape(kit.PerCollector, false),
		"kernscope.job.yml":           scrape(kit.OnePort, true),
		kit.RulesFile:                 rules,
		"kernscope.rules.test.yml":    tests,
	}, errors.Join(errs...)
}

// grafana returns the dashboard, and the provisioning files by which Grafana finds it.
func grafana(asked kit.Asked) (map[string][]byte, error) {
	dashboard, err := kit.Dashboard(asked)
	files := map[string][]byte{kit.DashboardFile: dashboard}
	for name, text := range kit.Provisioning() {
		files[filepath.Join("provisioning", name)] = text
	}
	return files, err
}
