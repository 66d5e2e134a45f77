// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e lets a real Prometheus scrape the built kernscope. It is run by
// test/e2e/run, which builds both.
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
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take; nothing takes so long.
const patience = 2 * time.Minute

func environment(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run test/e2e/run", name)
	}
	return value
}

// background starts a program that ends with the test.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
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

// eventually tries until it works.
func eventually[T any](t *testing.T, what string, try func() (T, error)) T {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		value, err := try()
		if err == nil {
			return value
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// kernscope serves on a free address and returns it.
func kernscope(t *testing.T, args ...string) string {
	t.Helper()
	address := freeAddress(t)
	background(t, environment(t, "KERNSCOPE"), append([]string{"serve", "--web.listen-address=" + address}, args...)...)
	eventually(t, "kernscope is not ready", func() (string, error) { return get(t, "http://"+address+"/-/ready") })
	return address
}

// prometheus scrapes the address every second, and returns its own.
func prometheus(t *testing.T, target string) string {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: kernscope
    scrape_native_histograms: true
    always_scrape_classic_histograms: true
    static_configs: [{targets: [%q]}]
`, target)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	background(t, filepath.Join(environment(t, "PROMETHEUS_TOOLS"), "prometheus"),
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
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

// query waits until Prometheus answers with at least one number.
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

// write keeps a disk busy until the test ends.
func write(t *testing.T) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "load"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		block := make([]byte, 4096)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := file.WriteAt(block, 0); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { close(stop); <-done; file.Close() })
}

func TestPrometheus(t *testing.T) {
	write(t)
	target := kernscope(t)
	address := prometheus(t, target)
	if up := query(t, address, `up{job="kernscope"} == 1`); len(up) != 1 {
		t.Fatalf("up: %v", up)
	}

	// Native: the metric's own name is the histogram.
	native := query(t, address, `histogram_quantile(0.99, sum by (device) (rate(ebpf_disk_io_latency_microseconds{operation="write"}[1m])))`)
	for _, s := range native {
		if n := s.number(); n < 1 || n > 60e6 {
			t.Errorf("p99 of writes to %s is %v µs", s.Metric["device"], n)
		}
	}
	// Classic, of the same counts: the quantiles differ by less than the
	// width of a classic bucket, and the counts not at all.
	for _, s := range query(t, address, `
		histogram_quantile(0.99, sum by (device, le) (rate(ebpf_disk_io_latency_microseconds_bucket{operation="write"}[1m])))
		/ histogram_quantile(0.99, sum by (device) (rate(ebpf_disk_io_latency_microseconds{operation="write"}[1m])))`) {
		if n := s.number(); n < 0.45 || n > 2.2 {
			t.Errorf("classic p99 of %s is %v times the native one", s.Metric["device"], n)
		}
	}
	for _, name := range []string{"ebpf_disk_io_latency_microseconds", "ebpf_sched_runqueue_latency_microseconds"} {
		for _, s := range query(t, address, "histogram_count("+name+") - "+name+"_count") {
			if s.number() != 0 {
				t.Errorf("native and classic count of %v differ by %v", s.Metric, s.number())
			}
		}
		for _, s := range query(t, address, "histogram_sum("+name+") - "+name+"_sum") {
			if s.number() != 0 {
				t.Errorf("native and classic sum of %v differ by %v", s.Metric, s.number())
			}
		}
	}
	if rate := query(t, address, `sum(rate(ebpf_syscalls_total[1m]))`); rate[0].number() <= 0 {
		t.Errorf("no system calls: %v", rate)
	}
	if lost := query(t, address, `sum(kernscope_lost_events_total{collector=~"diskio|schedlat|syscall"})`); lost[0].number() != 0 {
		t.Errorf("%v events lost", lost[0].number())
	}
}

// What promtool says of names that users know and that therefore stay: of the
// unit that they have by default, and of one counter.
var (
	unitLint    = regexp.MustCompile(`^ebpf_\w+ use base unit "seconds" instead of "microseconds"$`)
	counterLint = `ebpf_tcp_retransmits_by_dest counter metrics should have "_total" suffix`
)

func TestPromtoolFindsNothing(t *testing.T) {
	write(t)
	for _, unit := range []string{"microseconds", "seconds"} {
		body := eventually(t, "no metrics", func() (string, error) {
			return get(t, "http://"+kernscope(t, "--units="+unit,
				"--collector.diskio.service-time", "--collector.syscall.errors", "--collector.syscall.latency", "--collector.memory.processes")+"/metrics")
		})
		check := exec.CommandContext(t.Context(), filepath.Join(environment(t, "PROMETHEUS_TOOLS"), "promtool"), "check", "metrics")
		check.Stdin = strings.NewReader(body)
		out, err := check.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if line = strings.TrimSpace(line); line == counterLint || unit == "microseconds" && unitLint.MatchString(line) {
				continue
			}
			t.Errorf("--units=%s: %s", unit, line)
		}
	}
}
