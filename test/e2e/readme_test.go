// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the README's commands for the Prometheus host, word for word. It replaces only
// the names of the hosts and the directory.
func TestReadme(t *testing.T) {
	t.Parallel()
	write(t)
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	var hosts, listen []string
	for _, name := range []string{"db1", "db2"} {
		host := freeHost(t, map[string][]string{port: nil})
		hosts, listen = append(hosts, name, host), append(listen, "--web.listen-address="+host+":"+port)
	}
	dir := t.TempDir()
	commands := strings.NewReplacer(append(hosts, "/etc/prometheus/", "")...).Replace(block(t, readme, "kernscope config prometheus"))
	shell := exec.CommandContext(t.Context(), "bash", "-ec", commands)
	shell.Dir = dir
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(environment(t, "KERNSCOPE"))+":"+os.Getenv("PATH"))
	if out, err := shell.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s: %v: %s", commands, err, out)
	}
	configuration := filepath.Join(dir, "prometheus.yml")
	save(t, configuration, block(t, readme, "# prometheus.yml"))
	content(t, "check", "config", "--lint=all", "--lint-fatal", configuration)
	var dashboard struct{ Title string }
	if text, err = os.ReadFile(filepath.Join(dir, "kernscope.json")); err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil || dashboard.Title != "eBPF Kernel Metrics" {
		t.Errorf("dashboard %q: %v", dashboard.Title, err)
	}

	background(t, environment(t, "KERNSCOPE"), append([]string{"serve"}, listen...)...)
	d := &deployment{prometheus: startPrometheus(t, configuration)}
	d.up(t, map[string]int{"kernscope": 2}, hosts[1], hosts[3])
	d.healthy(t)
	question := regexp.MustCompile("`(histogram_quantile\\([^`]*)`").FindStringSubmatch(readme)
	if question == nil {
		t.Fatal("the README has no query for a quantile")
	}
	query(t, d.prometheus, strings.Replace(question[1], "read", "write", 1))
}

// block returns the contents of the README's first code block that contains a text.
func block(t *testing.T, readme, contains string) string {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```\\w*\n(.*?)^```").FindAllStringSubmatch(readme, -1) {
		if strings.Contains(m[1], contains) {
			return m[1]
		}
	}
	t.Fatalf("the README has no block with %q", contains)
	return ""
}
