// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/collector/builtin"
)

// dashboard is the part of Grafana's dashboard that queries Prometheus.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Type, Title string
		Targets     []target
	}
}

type target struct {
	RefID, Expr string
	Instant     bool
}

func parseDashboard(t *testing.T, text string) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// chosen replaces the variables in a query, as Grafana does: all values are chosen, and the
// interval is a minute.
func chosen(t *testing.T, expr string) string {
	t.Helper()
	expr = strings.NewReplacer(
		"$instance", ".*", "$device", ".*", "$pool", ".*", "$interface", ".*",
		"$__rate_interval", "1m", "$__range", "1m").Replace(expr)
	if strings.Contains(expr, "$") {
		t.Errorf("a variable is left: %s", expr)
	}
	return expr
}

// series is an element of Prometheus' answer. It has one moment or several, and numbers or native
// histograms.
type series struct {
	Metric     map[string]string
	Value      [2]any
	Values     [][2]any
	Histograms [][2]any
}

// largest returns the largest number. The number of a native histogram is its count.
func (s series) largest() float64 {
	result := math.Inf(-1)
	number := func(text any) {
		if n, err := strconv.ParseFloat(text.(string), 64); err == nil && n > result {
			result = n
		}
	}
	if s.Value[1] != nil {
		number(s.Value[1])
	}
	for _, v := range s.Values {
		number(v[1])
	}
	for _, h := range s.Histograms {
		number(h[1].(map[string]any)["count"])
	}
	return result
}

// ask queries as Grafana does: an instant query asks for this moment, any other for the last
// minute.
func ask(t *testing.T, address string, q target) ([]series, error) {
	t.Helper()
	now := time.Now().Unix()
	path := "/api/v1/query?query=" + url.QueryEscape(chosen(t, q.Expr))
	if !q.Instant {
		path = fmt.Sprintf("/api/v1/query_range?start=%d&end=%d&step=5&query=%s", now-60, now, url.QueryEscape(chosen(t, q.Expr)))
	}
	body, err := get(t, "http://"+address+path)
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Result []series } }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", body, err)
	}
	return answer.Data.Result, nil
}

// mayBeZero are the queries that may have the answer zero under this load.
var mayBeZero = map[string]bool{"Page faults and allocation order C": true}

// TestDashboard makes all queries of the dashboard and of the alerts, to a Prometheus with native
// histograms and to one without, in both units.
func TestDashboard(t *testing.T) {
	t.Parallel()
	write(t)
	readAgain(t)
	faultAgain(t)
	knockInVain(t)
	for _, unit := range []string{"microseconds", "seconds"} {
		target := kernscope(t, "--units="+unit)
		d := parseDashboard(t, command(t, "config", "dashboard", "--units="+unit))
		d.hasPanels(t)
		for _, native := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s native %v", unit, native), func(t *testing.T) {
				dir := t.TempDir()
				save(t, filepath.Join(dir, "rules.yml"), command(t, "config", "rules", "--units="+unit))
				save(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: kernscope
    scrape_native_histograms: %v
    static_configs: [{targets: [%q]}]
`, native, target))
				address := startPrometheus(t, filepath.Join(dir, "prometheus.yml"))
				d.hasData(t, address, native)
				alertsHaveData(t, address)
			})
		}
	}
}

// hasPanels fails if the panel of a collector is missing.
func (d dashboard) hasPanels(t *testing.T) {
	t.Helper()
	there := make(map[string]bool)
	for _, p := range d.Panels {
		there[p.Title] = true
	}
	for _, s := range builtin.Collectors() {
		for _, p := range s.Panels {
			if !there[p.Title] {
				t.Errorf("%s: no panel %q", s.Name, p.Title)
			}
		}
	}
}

// hasData waits until every query has an answer, and looks at its form.
func (d dashboard) hasData(t *testing.T, address string, native bool) {
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			name := p.Title + " " + q.RefID
			answer := eventually(t, name, func() ([]series, error) {
				answer, err := ask(t, address, q)
				if err != nil {
					return nil, err
				}
				for _, s := range answer {
					if n := s.largest(); n > 0 || n == 0 && mayBeZero[name] {
						return answer, nil
					}
				}
				return nil, fmt.Errorf("no data: %v", answer)
			})
			switch p.Type {
			case "heatmap":
				for _, s := range answer {
					if _, le := s.Metric["le"]; le == native || len(s.Histograms) > 0 != native {
						t.Errorf("%s: native %v, and the answer is %v", name, native, s)
					}
				}
			case "stat":
				for _, s := range answer {
					if n := s.largest(); n > 1 {
						t.Errorf("%s: the ratio is %v", name, n)
					}
				}
			case "table":
				if len(answer) > 15 {
					t.Errorf("%s has %d rows", name, len(answer))
				}
			}
			if strings.Contains(q.Expr, "topk(10,") && len(answer) > 10 {
				t.Errorf("%s has %d lines", name, len(answer))
			}
		}
	}
	labelValues := regexp.MustCompile(`^label_values\((\{.*\}), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := labelValues.FindStringSubmatch(v.Query)
		if m == nil {
			t.Fatalf("variable %s asks for %q", v.Name, v.Query)
		}
		body, err := get(t, "http://"+address+"/api/v1/label/"+m[2]+"/values?match[]="+url.QueryEscape(chosen(t, m[1])))
		var values struct{ Data []string }
		if err = errors.Join(err, json.Unmarshal([]byte(body), &values)); err != nil || len(values.Data) == 0 {
			t.Errorf("variable %s has no values: %s, %v", v.Name, body, err)
		}
	}
}

// alertsHaveData makes the queries of the alerts, without the limits and without what only a
// failure has. No textfile is served here.
func alertsHaveData(t *testing.T, address string) {
	rules := eventually(t, "the rules are not evaluated", func() ([]rule, error) { return (&deployment{prometheus: address}).rules(t) })
	limit := regexp.MustCompile(`\s*(<|>|==|>=)\s*[0-9.]+\b|\s+unless\s.*|\{status="(failed|denied)"\}`)
	asked, due := 0, 0
	for _, s := range builtin.Collectors() {
		due += len(s.Alerts)
	}
	for _, r := range rules {
		if r.Type != "alerting" || strings.Contains(r.Query, "textfile") {
			continue
		}
		asked++
		q := target{Expr: limit.ReplaceAllString(r.Query, ""), Instant: true}
		eventually(t, r.Name+": "+q.Expr, func() (struct{}, error) {
			answer, err := ask(t, address, q)
			for _, s := range answer {
				if s.largest() >= 0 {
					return struct{}{}, nil
				}
			}
			return struct{}{}, errors.Join(err, errors.New("no data"))
		})
	}
	if asked < due {
		t.Errorf("only %d alerts of %d", asked, due)
	}
}

// TestDashboardOfGadget checks that Prometheus understands the queries of a
// collector that only a test of internal/kit has, of which there is no data.
func TestDashboardOfGadget(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../internal/kit/testdata/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	save(t, path, "scrape_configs: []\n")
	address := startPrometheus(t, path)
	eventually(t, "Prometheus is not ready", func() (string, error) { return get(t, "http://"+address+"/-/ready") })
	for _, p := range parseDashboard(t, string(text)).Panels {
		for _, q := range p.Targets {
			if _, err := ask(t, address, q); err != nil {
				t.Errorf("%s %s: %v", p.Title, q.RefID, err)
			}
		}
	}
}
