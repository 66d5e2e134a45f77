// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/kernscope/kernscope/internal/metric"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// instance is a server that serves on loopback.
type instance struct {
	*Server
	t    *testing.T
	logs *journal
	// end makes Serve return and returns its error.
	end func() error
}

// start serves a configuration, which change may alter before, as tune may the server.
func start(t *testing.T, change func(*Config), tune ...func(*Server)) *instance {
	t.Helper()
	logs := new(journal)
	cfg := testConfig(logs)
	if change != nil {
		change(&cfg)
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tune {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	end := sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-time.After(patience):
			t.Error("Serve does not return")
			return nil
		}
	})
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &instance{Server: s, t: t, logs: logs, end: end}
}

func testConfig(logs *journal) Config {
	return Config{
		Families:      source,
		Collectors:    func() []Collector { return offered },
		Version:       "1.2.3",
		TelemetryPath: "/metrics",
		Web:           webFlags("", "127.0.0.1:0"),
		Logger:        slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func webFlags(config string, addresses ...string) *web.FlagConfig {
	return &web.FlagConfig{WebListenAddresses: &addresses, WebSystemdSocket: new(bool), WebConfigFile: &config}
}

// offered are the collectors that the tests serve.
var offered = []Collector{
	{Name: "diskio", Help: "Latency of disk I/O", State: Running},
	{Name: "schedlat", Help: "Latency of the run queue", State: Running},
	{Name: "syscall", Help: "System calls by name", State: "unsupported", Reason: "this kernel has <no> BTF", Remedy: "boot another"},
}

// source returns a counter and a sample of the self metrics for each collector.
func source(_ context.Context, names []string) ([]metric.Family, error) {
	if len(names) == 0 {
		return nil, errors.New("the source was called without a name")
	}
	up := metric.Family{Name: "kernscope_collector_up", Help: "Whether.", Type: metric.Gauge, Labels: []string{"collector"}}
	var all []metric.Family
	for _, name := range names {
		all = append(all, metric.Family{
			Name: "ebpf_" + name + "_total", Help: "Things.", Type: metric.Counter,
			Samples: []metric.Sample{{Value: 23}},
		})
		up.Samples = append(up.Samples, metric.Sample{Labels: []string{name}, Value: 1})
	}
	return append(all, up), nil
}

// client returns a separate client for a test, so that no connection outlives the test.
func client(t *testing.T, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, DisableCompression: true, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// get asks an address of the instance for a path.
func (i *instance) get(address net.Addr, path string, header ...string) (int, string, http.Header) {
	i.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+address.String()+path, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	return do(i.t, client(i.t, nil), req)
}

// page asks the main address for a path.
func (i *instance) page(path string, header ...string) (int, string, http.Header) {
	i.t.Helper()
	return i.get(i.Addresses()[0], path, header...)
}

func do(t *testing.T, c *http.Client, req *http.Request) (int, string, http.Header) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// receive returns a value from a channel, and fails if none arrives.
func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for: %s", what)
		panic("unreachable")
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%.3000s", part, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q in:\n%.3000s", part, text)
		}
	}
}

// journal collects log lines from any goroutine.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
