// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
)

// deployment is what a user has who follows the README: kernscope, node_exporter, and a Prometheus
// with the unedited output of "kernscope config".
type deployment struct {
	host       string // the address that Prometheus scrapes, on the ports of the configuration
	textfiles  string // the directory that node_exporter serves
	prometheus string // address
}

// port serves all collectors together, and nodeExporterPort node_exporter.
const port, nodeExporterPort = "9436", "9100"

// deploy starts the programs. Each command of kernscope gets the flags. The alerts go to the
// Alertmanager, unless it is "".
func deploy(t *testing.T, perCollector bool, alertmanager string, flags ...string) *deployment {
	t.Helper()
	served := map[string][]string{port: nil}
	scrape := append([]string{"config", "prometheus"}, flags...)
	if perCollector {
		served = make(map[string][]string)
		for _, s := range builtin.Collectors() {
			if s.Port != 0 {
				served[fmt.Sprint(s.Port)] = []string{s.Name}
			}
		}
		scrape = append(scrape, "--layout=per-collector")
	}
	d := &deployment{host: freeHost(t, served), textfiles: t.TempDir()}
	for port, names := range served {
		background(t, environment(t, "KERNSCOPE"), append(append([]string{"serve", "--web.listen-address=" + net.JoinHostPort(d.host, port)}, flags...), names...)...)
	}
	background(t, environment(t, "NODE_EXPORTER"), "--web.listen-address="+net.JoinHostPort(d.host, nodeExporterPort),
		"--collector.disable-defaults", "--collector.textfile", "--collector.textfile.directory="+d.textfiles)
	scrape = append(scrape, "--target="+d.host)
	if alertmanager != "" {
		scrape = append(scrape, "--alertmanager="+alertmanager)
	}
	dir := t.TempDir()
	save(t, filepath.Join(dir, "kernscope.yml"), command(t, scrape...))
	save(t, filepath.Join(dir, "kernscope.rules.yml"), command(t, append([]string{"config", "rules"}, flags...)...))
	d.prometheus = startPrometheus(t, filepath.Join(dir, "kernscope.yml"))
	return d
}

// freeHost returns an address of the loopback network on which the served ports and node_exporter's
// are free.
func freeHost(t *testing.T, ports map[string][]string) string {
	t.Helper()
	for range 100 {
		host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		if free(host, nodeExporterPort) && !anyBusy(host, ports) {
			return host
		}
	}
	t.Fatal("the ports of the shipped configuration are taken on all addresses of this machine")
	return ""
}

func anyBusy(host string, ports map[string][]string) bool {
	for port := range ports {
		if !free(host, port) {
			return true
		}
	}
	return false
}

func free(host, port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// command runs kernscope and returns what it prints.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), environment(t, "KERNSCOPE"), args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("kernscope %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// rule is a rule as Prometheus reports it.
type rule struct {
	Name, Type, Query, Health, LastError string
	Alerts                               []struct {
		State  string
		Labels map[string]string
	}
}

// rules waits until Prometheus has evaluated every rule, and returns the rules.
func (d *deployment) rules(t *testing.T) ([]rule, error) {
	t.Helper()
	body, err := get(t, "http://"+d.prometheus+"/api/v1/rules")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct{ Groups []struct{ Rules []rule } }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("parsing the rules: %w", err)
	}
	var rules []rule
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.Health == "unknown" {
				return nil, fmt.Errorf("%s is not evaluated yet", r.Name)
			}
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return nil, errors.New("no rules")
	}
	return rules, nil
}

// state returns the state of an alert about a disk: inactive, pending or firing.
func (d *deployment) state(t *testing.T, alert, device string) (string, error) {
	t.Helper()
	rules, err := d.rules(t)
	if err != nil {
		return "", err
	}
	for _, r := range rules {
		if r.Name != alert {
			continue
		}
		for _, a := range r.Alerts {
			if a.Labels["device"] == device {
				return a.State, nil
			}
		}
		return "inactive", nil
	}
	return "", fmt.Errorf("there is no rule %s", alert)
}
