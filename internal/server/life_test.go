// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/metric"
)

// expectNoLeak counts goroutines and open files. It returns a function that waits until there are
// no more than it counted.
func expectNoLeak(t *testing.T) func() {
	t.Helper()
	count := func() (goroutines, files int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(entries)
	}
	// At the first use of the network, the runtime opens files that it never closes.
	_, _ = hold(t, "127.0.0.1")
	goroutines, files := count()
	return func() {
		t.Helper()
		var g, f int
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if g, f = count(); g <= goroutines && f <= files {
				return
			}
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines and %d files before, %d and %d after:\n%s", goroutines, files, g, f, stacks[:runtime.Stack(stacks, true)])
	}
}

// Fifty scrapes at once, of which no more than one may run, read the source once. Each gets
// everything.
func TestFiftyScrapesAtOnce(t *testing.T) {
	settled := expectNoLeak(t)
	const scrapes = 50
	var read atomic.Int32
	var i *instance
	i = start(t, func(cfg *Config) {
		cfg.MaxRequests = 1
		cfg.Families = func(ctx context.Context, names []string) ([]metric.Family, error) {
			read.Add(1)
			eventually(t, "all scrapes to wait", func() bool { return i.press.waits() == scrapes })
			return source(ctx, names)
		}
	})
	c := client(t, nil)
	answers := make(chan string, scrapes)
	for range scrapes {
		go func() {
			resp, err := c.Get("http://" + i.Addresses()[0].String() + "/metrics")
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			answers <- fmt.Sprint(resp.StatusCode, " ", err, "\n", string(body))
		}()
	}
	first := receive(t, "an answer", answers)
	contains(t, first, "200 <nil>", "ebpf_diskio_total 23\n", "ebpf_syscall_total 23\n")
	for range scrapes - 1 {
		if answer := receive(t, "an answer", answers); answer != first {
			t.Errorf("not what the others got: %s", answer)
		}
	}
	if n := read.Load(); n != 1 {
		t.Errorf("the source was read %d times", n)
	}
	c.CloseIdleConnections()
	if err := i.end(); err != nil {
		t.Error(err)
	}
	settled()
}

// large is more bytes than the sockets of both sides can hold.
func large(context.Context, []string) ([]metric.Family, error) {
	var all []metric.Family
	padding := strings.Repeat("x", 1000)
	for n := range 10 {
		f := metric.Family{Name: fmt.Sprintf("ebpf_%d_total", n), Help: "Large.", Type: metric.Counter, Labels: []string{"a", "b"}}
		for m := range 3000 {
			f.Samples = append(f.Samples, metric.Sample{Labels: []string{fmt.Sprint(m), padding}})
		}
		all = append(all, f)
	}
	return all, nil
}

func TestClientHangsUp(t *testing.T) {
	settled := expectNoLeak(t)
	i := start(t, func(cfg *Config) { cfg.Families = large })
	for range 3 {
		conn, err := net.Dial("tcp", i.Addresses()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReaderSize(conn, 100).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		// Without linger, closing resets the connection, as if the client had died.
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	eventually(t, "three notes that the scraper hung up", func() bool {
		return strings.Count(i.logs.String(), "The scraper hung up") >= 3
	})
	if code, _, _ := i.page("/-/healthy"); code != http.StatusOK {
		t.Errorf("code %d afterwards", code)
	}
	if err := i.end(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(i.logs.String(), "The scraper hung up"); n != 3 {
		t.Errorf("noted %d times", n)
	}
	lacks(t, i.logs.String(), "level=ERROR", "panic")
	settled()
}

// A scrape that runs when serving ends gets its answer. The server accepts no new connection.
func TestScrapeDuringShutdown(t *testing.T) {
	settled := expectNoLeak(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	i := start(t, func(cfg *Config) {
		cfg.Families = func(ctx context.Context, names []string) ([]metric.Family, error) {
			entered <- struct{}{}
			<-release
			return source(ctx, names)
		}
	})
	i.Ready()
	address := i.Addresses()[0].String()
	type result struct {
		code int
		body string
	}
	answered, ended := make(chan result, 1), make(chan error, 1)
	go func() {
		code, body, _ := i.page("/metrics")
		answered <- result{code, body}
	}()
	receive(t, "the scrape", entered)
	go func() { ended <- i.end() }()
	eventually(t, "the address to be closed", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return true
		}
		conn.Close()
		return false
	})
	// net/http may close a connection rather than answer a new request now. If it answers, the
	// answer must not invite further scrapes.
	recorder := httptest.NewRecorder()
	i.handler("").ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/-/ready", nil))
	if recorder.Code != http.StatusServiceUnavailable {
		t.Errorf("/-/ready has code %d while the server goes down", recorder.Code)
	}
	close(release)
	if r := receive(t, "the answer", answered); r.code != http.StatusOK || !strings.Contains(r.body, "ebpf_syscall_total 23\n") {
		t.Errorf("the running scrape got %d %q", r.code, r.body)
	}
	if err := receive(t, "the end", ended); err != nil {
		t.Error(err)
	}
	settled()
}

// The server cuts off a scrape that does not end.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	settled := expectNoLeak(t)
	entered := make(chan struct{}, 1)
	logs := new(journal)
	cfg := testConfig(logs)
	cfg.Families = func(ctx context.Context, _ []string) ([]metric.Family, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.grace = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	served, failed := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	c := client(t, nil)
	go func() {
		resp, err := c.Get("http://" + s.Addresses()[0].String() + "/metrics")
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	receive(t, "the scrape", entered)
	cancel()
	if err := receive(t, "the end of Serve", served); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := receive(t, "the end of the scrape", failed); err == nil {
		t.Error("the scrape was answered")
	}
	contains(t, logs.String(), "Cutting off requests")
	settled()
}

// A server that never serves leaves no goroutine and no open file.
func TestClose(t *testing.T) {
	settled := expectNoLeak(t)
	cfg := testConfig(new(journal))
	cfg.Web = webFlags("", "127.0.0.1:0", "127.0.0.1:0")
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	settled()
}
