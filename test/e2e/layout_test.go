// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
)

// TestLayouts deploys kernscope on one port and on a port per collector. Prometheus must scrape
// everything, load and evaluate all rules, and get the textfiles, too.
func TestLayouts(t *testing.T) {
	t.Parallel()
	t.Run("one port", func(t *testing.T) {
		d := deploy(t, false, "")
		d.up(t, map[string]int{"kernscope": 1, "node": 1}, d.host)
		d.healthy(t)
		d.textfile(t)
	})
	t.Run("per collector", func(t *testing.T) {
		d := deploy(t, true, "", "--units=seconds")
		d.up(t, map[string]int{"kernscope": len(builtin.Collectors()), "node": 1}, d.host)
		d.healthy(t)
	})
}

// up waits until Prometheus has scraped the given number of targets of each job. Each instance must
// be one of the hosts.
func (d *deployment) up(t *testing.T, jobs map[string]int, hosts ...string) {
	t.Helper()
	eventually(t, "not all targets are up", func() (struct{}, error) {
		body, err := get(t, "http://"+d.prometheus+"/api/v1/targets")
		if err != nil {
			return struct{}{}, err
		}
		var answer struct {
			Data struct {
				ActiveTargets []struct {
					Health, LastError, ScrapeURL string
					Labels                       map[string]string
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return struct{}{}, err
		}
		found := make(map[string]int)
		for _, target := range answer.Data.ActiveTargets {
			if target.Health != "up" {
				err = errors.Join(err, fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError))
			}
			if !slices.Contains(hosts, target.Labels["instance"]) {
				err = errors.Join(err, fmt.Errorf("%s is of instance %q, not of %v", target.ScrapeURL, target.Labels["instance"], hosts))
			}
			found[target.Labels["job"]]++
		}
		if !maps.Equal(found, jobs) {
			err = errors.Join(err, fmt.Errorf("targets by job: %v, want %v", found, jobs))
		}
		return struct{}{}, err
	})
}

// healthy fails if Prometheus could not evaluate a rule, or lacks a rule of a collector.
func (d *deployment) healthy(t *testing.T) {
	t.Helper()
	loaded := make(map[string]bool)
	for _, r := range eventually(t, "the rules are not evaluated", func() ([]rule, error) { return d.rules(t) }) {
		loaded[r.Name] = true
		if r.Health != "ok" || r.LastError != "" {
			t.Errorf("rule %s is %q: %s", r.Name, r.Health, r.LastError)
		}
	}
	for _, s := range builtin.Collectors() {
		for _, r := range s.Records {
			if !loaded[r.Name] {
				t.Errorf("Prometheus lacks the recording rule %s", r.Name)
			}
		}
		for _, a := range s.Alerts {
			if !loaded[a.Name] {
				t.Errorf("Prometheus lacks the alert %s", a.Name)
			}
		}
	}
}

// textfile writes the files of all collectors. node_exporter must serve them unchanged, and
// Prometheus must get them.
func (d *deployment) textfile(t *testing.T) {
	t.Helper()
	command(t, "textfile", "--no-pin", "--window=2s", "--directory="+d.textfiles)
	files, err := filepath.Glob(filepath.Join(d.textfiles, "*.prom"))
	if err != nil || len(files) != len(builtin.Collectors()) {
		t.Fatalf("files of %d collectors: %v, %v", len(builtin.Collectors()), files, err)
	}
	body := eventually(t, "node_exporter serves nothing", func() (string, error) {
		return get(t, "http://"+d.host+":"+nodeExporterPort+"/metrics")
	})
	served := make(map[string]bool)
	for line := range strings.Lines(body) {
		served[line] = true
	}
	if !served["node_textfile_scrape_error 0\n"] {
		t.Error("node_exporter has trouble with the files")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			isComment := strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "# HELP ") && !strings.HasPrefix(line, "# TYPE ")
			if !served[line] && !isComment {
				t.Errorf("%s: node_exporter does not serve %s", filepath.Base(file), line)
			}
		}
	}
	query(t, d.prometheus, `ebpf_tcp_retransmits_total{job="node",instance="`+d.host+`"}`)
}
