// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"strings"
	"testing"
)

func TestLandingPage(t *testing.T) {
	i := start(t, func(cfg *Config) {
		cfg.TelemetryPath = "/the/metrics"
		withPorts := []Collector{offered[0], offered[2]}
		withPorts[0].Port = 9101
		cfg.Collectors = func() []Collector { return withPorts }
	})
	code, body, header := i.page("/")
	if code != http.StatusOK || header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("code %d, %v", code, header)
	}
	contains(t, body, "Version 1.2.3", `href="/the/metrics"`, `href="/-/healthy"`, `href="/-/ready"`,
		`href="/the/metrics?collect[]=diskio"`, "Latency of disk I/O", ">9101<", `class="state running">running<`,
		`class="state">unsupported<`, "Why: this kernel has &lt;no&gt; BTF", "What would help: boot another")
	if n := strings.Count(body, "Why: "); n != 1 {
		t.Errorf("%d reasons for one collector that does not run", n)
	}
	if code, _, _ := i.page("/the/metrics?collect[]=diskio"); code != http.StatusOK {
		t.Errorf("the link of a collector has code %d", code)
	}
}

func TestPaths(t *testing.T) {
	i := start(t, nil)
	for path, want := range map[string]int{
		"/-/healthy": 200, "/-/ready": 503, "/metrics": 200, "/": 200,
		"/metrics/": 404, "/nothing": 404, "/-/": 404, "/index.html": 404,
	} {
		if code, body, _ := i.page(path); code != want {
			t.Errorf("%s has code %d, want %d: %.100s", path, code, want, body)
		}
	}
	i.Ready()
	if code, _, _ := i.page("/-/ready"); code != http.StatusOK {
		t.Errorf("/-/ready has code %d once ready", code)
	}
	resp, err := client(t, nil).Post("http://"+i.Addresses()[0].String()+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST has code %d", resp.StatusCode)
	}
}

func TestTelemetryPath(t *testing.T) {
	for _, path := range []string{"", "metrics", "/", "/-/ready", "/metrics/", "/a//b", "/{x}", "/a b", "/a?b"} {
		cfg := testConfig(new(journal))
		cfg.TelemetryPath = path
		s, err := Listen(cfg)
		if err == nil {
			s.Close()
			t.Errorf("metrics can be served at %q", path)
			continue
		}
		contains(t, err.Error(), "such as /metrics")
	}
}
