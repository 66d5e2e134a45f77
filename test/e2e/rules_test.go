// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	rulesFile = "kernscope.rules.yml" // the name by which the rules' tests know the file
	testsFile = "kernscope.rules.test.yml"
)

// promtool runs promtool. It returns the output, and whether promtool found nothing wrong.
func promtool(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(environment(t, "PROMETHEUS_TOOLS"), "promtool"), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err == nil
}

// content fails the test if promtool finds something wrong.
func content(t *testing.T, args ...string) {
	t.Helper()
	if out, ok := promtool(t, args...); !ok {
		t.Errorf("promtool %s: %s", strings.Join(args, " "), out)
	}
}

// config writes the output of kernscope config to a file in the folder.
func config(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), environment(t, "KERNSCOPE"), append([]string{"config"}, args...)...).Output()
	if err != nil {
		t.Fatalf("kernscope config %v: %v", args, err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"microseconds", "seconds"} {
		t.Run(unit, func(t *testing.T) {
			dir := t.TempDir()
			rules := config(t, dir, rulesFile, "rules", "--units="+unit)
			tests := config(t, dir, testsFile, "rule-tests", "--units="+unit)
			content(t, "check", "rules", "--lint=all", "--lint-fatal", rules)
			content(t, "test", "rules", tests)
			for _, args := range [][]string{{}, {"--layout=per-collector"}, {"--alertmanager=localhost:9093", "--target=db1", "--target=::1"}} {
				path := config(t, dir, "kernscope.yml", append([]string{"prometheus"}, args...)...)
				content(t, "check", "config", "--lint=all", "--lint-fatal", path)
			}
			config(t, dir, "kernscope.job.yml", "prometheus", "--job-only")
			path := filepath.Join(dir, "prometheus.yml") // as a user may have one
			if err := os.WriteFile(path, []byte("scrape_config_files: [kernscope.job.yml]\nrule_files: ["+rulesFile+"]\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			content(t, "check", "config", "--lint=all", "--lint-fatal", path)
		})
	}
}

// TestRulesOfGadget runs the tests of rules of a collector that only a test of
// internal/kit has.
func TestRulesOfGadget(t *testing.T) {
	t.Parallel()
	const dir = "../../internal/kit/testdata/prometheus/"
	content(t, "check", "rules", "--lint=all", "--lint-fatal", dir+rulesFile)
	content(t, "test", "rules", dir+testsFile)
	for _, layout := range []string{"kernscope.yml", "kernscope-per-collector.yml"} {
		content(t, "check", "config", "--lint=all", "--lint-fatal", dir+layout)
	}
}

// TestTestsOfRulesBite breaks one alert at a time. The tests of the rules must fail.
func TestTestsOfRulesBite(t *testing.T) {
	t.Parallel()
	var (
		limit    = regexp.MustCompile(`(?m)\s*(<|>|==)\s*[0-9.]+$`)
		only     = regexp.MustCompile(`(?m)^(and|unless|  or) .*\n?`)
		classic  = regexp.MustCompile(`(?s)( > [0-9.]+\n)(.*_bucket.*?)( > [0-9.]+\n)`)
		matchers = regexp.MustCompile(`\{[^}]*\}`)
	)
	dir := t.TempDir()
	rules := config(t, dir, rulesFile, "rules")
	tests := config(t, dir, testsFile, "rule-tests")
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string][]struct {
		Name  string
		Rules []map[string]any
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	spoilt := 0
	spoil := func(rule map[string]any, what, member, value string) {
		before := rule[member]
		if value == before {
			return
		}
		rule[member] = value
		defer func() { rule[member] = before }()
		text, err := yaml.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(rules, text, 0o644); err != nil {
			t.Fatal(err)
		}
		spoilt++
		if out, ok := promtool(t, "test", "rules", "--run=^"+rule["alert"].(string), tests); ok || !strings.Contains(out, rule["alert"].(string)) {
			t.Errorf("%s %s, and the tests say: %s", rule["alert"], what, out)
		}
	}
	for _, group := range file["groups"] {
		for _, rule := range group.Rules {
			if rule["alert"] == nil {
				continue
			}
			expr := rule["expr"].(string)
			spoil(rule, "never fires", "expr", "("+expr+") unless on () vector(1)")
			spoil(rule, "has no limit", "expr", limit.ReplaceAllString(expr, ""))
			spoil(rule, "takes all series", "expr", matchers.ReplaceAllString(expr, ""))
			spoil(rule, "has no exception", "expr", only.ReplaceAllString(expr, ""))
			spoil(rule, "takes classic histograms for native ones", "expr", classic.ReplaceAllString(expr, "$1$2$1"))
			spoil(rule, "fires at once", "for", "0s")
		}
	}
	if spoilt < 60 {
		t.Errorf("only %d rules were spoilt", spoilt)
	}
}
