// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e deploys the built kernscope as a user does, with a real Prometheus, Alertmanager and
// node_exporter, under load. Run it by test/e2e/run, which provides these programs.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// patience is how long anything may take. It is far longer than anything should take.
const patience = 2 * time.Minute

func environment(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run test/e2e/run", name)
	}
	return value
}

// background starts a program. It ends with the test, or when the test process dies.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s wrote:\n%s", filepath.Base(name), text)
		}
	})
}

func save(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, url string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// eventually repeats a function until it succeeds. What is slow by design calls
// [kerneltest.Eventually] with a longer time.
func eventually[T any](t *testing.T, what string, try func() (T, error)) T {
	t.Helper()
	return kerneltest.Eventually(t, patience, what, try)
}

// kernscope starts the exporter on a free address and returns the address.
func kernscope(t *testing.T, args ...string) string {
	t.Helper()
	address := freeAddress(t)
	background(t, environment(t, "KERNSCOPE"), append([]string{"serve", "--web.listen-address=" + address}, args...)...)
	eventually(t, "kernscope is not ready", func() (string, error) { return get(t, "http://"+address+"/-/ready") })
	return address
}

// prometheus starts a Prometheus that scrapes an address every second. It returns the address of
// Prometheus.
func prometheus(t *testing.T, target string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	save(t, config, fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: kernscope
    scrape_native_histograms: true
    always_scrape_classic_histograms: true
    static_configs: [{targets: [%q]}]
`, target))
	return startPrometheus(t, config)
}

// startPrometheus starts a Prometheus with a configuration and returns its address.
func startPrometheus(t *testing.T, config string) string {
	t.Helper()
	address := freeAddress(t)
	background(t, filepath.Join(environment(t, "PROMETHEUS_TOOLS"), "prometheus"),
		"--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+address)
	return address
}

// sample is an element of an instant vector.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

func (s sample) number() float64 {
	n, err := strconv.ParseFloat(s.Value[1].(string), 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// query waits until Prometheus answers with at least one number, and returns the answer.
func query(t *testing.T, address, expr string) []sample {
	t.Helper()
	return eventually(t, expr, func() ([]sample, error) {
		body, err := get(t, "http://"+address+"/api/v1/query?query="+url.QueryEscape(expr))
		if err != nil {
			return nil, err
		}
		var answer struct{ Data struct{ Result []sample } }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return nil, err
		}
		for _, s := range answer.Data.Result {
			if math.IsNaN(s.number()) {
				return nil, fmt.Errorf("not a number: %v", s)
			}
		}
		if len(answer.Data.Result) == 0 {
			return nil, errors.New("no result")
		}
		return answer.Data.Result, nil
	})
}
