// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dial connects to the instance and sends something.
func (i *instance) dial(text string) net.Conn {
	i.t.Helper()
	conn, err := net.Dial("tcp", i.Addresses()[0].String())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		i.t.Fatal(err)
	}
	return conn
}

// isCut waits until the server closes a connection.
func isCut(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Errorf("%s is not cut off", what)
	}
}

// TestManyConnections has more clients than there may be, which do nothing, ask for nothing more,
// or ask slowly. Who comes last is served.
func TestManyConnections(t *testing.T) {
	for name, text := range map[string]string{
		"silent":       "",
		"kept alive":   "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",
		"half a line":  "GET /metr",
		"half a field": "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ",
		"half a body":  "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			const most = 10
			i := start(t, nil, func(s *Server) { s.connections.most = most })
			var clients []net.Conn
			for range 3 * most {
				clients = append(clients, i.dial(text))
			}
			for range 3 {
				if code, body, _ := i.page("/metrics"); code != http.StatusOK || !strings.Contains(body, "ebpf_diskio_total 23\n") {
					t.Fatalf("code %d: %s", code, body)
				}
			}
			cut := make(chan error, len(clients))
			for _, conn := range clients {
				go func() {
					_, err := io.Copy(io.Discard, conn)
					cut <- err
				}()
			}
			for range len(clients) - most {
				receive(t, "the end of a connection beyond the limit", cut)
			}
			i.connections.mu.Lock()
			open := len(i.connections.open)
			i.connections.mu.Unlock()
			if open > most {
				t.Errorf("%d connections are open, the limit is %d", open, most)
			}
			if n := strings.Count(i.logs.String(), "Too many connections"); n != 1 {
				t.Errorf("%d lines of the log say so", n)
			}
		})
	}
}

// TestVictim cuts off the client that reads least of the host that has most.
func TestVictim(t *testing.T) {
	now := time.Now()
	c := &connections{open: make(map[*connection]bool)}
	add := func(host string, age time.Duration) *connection {
		one := &connection{all: c, host: host, read: now.Add(-age)}
		c.open[one] = true
		return one
	}
	add("prometheus", time.Hour)
	add("crowd", time.Second)
	want := add("crowd", time.Minute)
	add("crowd", time.Millisecond)
	if got := c.victim(); got != want {
		t.Errorf("it is %+v, want %+v", got, want)
	}
	// All wait for pages: a crowd that asks does not cut off who asked before.
	for one := range c.open {
		one.pages, one.since = 1, one.read
	}
	delete(c.open, want)
	last := add("crowd", 0)
	last.pages, last.since = 1, now
	if got := c.victim(); got != last {
		t.Errorf("of those that wait for pages it is %+v, want %+v", got, last)
	}
}

// TestCrowdDoesNotEndAScrape has a crowd of the same host come, and the page take longer than a
// newcomer is spared, with and without TLS.
func TestCrowdDoesNotEndAScrape(t *testing.T) {
	const most = 10
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			web, trust := "", (*tls.Config)(nil)
			if name == "TLS" {
				web, trust = secure(t, "me", "secret")
				web = withoutUsers(t, web)
			}
			i := start(t, func(cfg *Config) {
				cfg.Families = g.families
				*cfg.Web.WebConfigFile = web
			}, func(s *Server) { s.connections.most = most })
			scheme := "http"
			if trust != nil {
				scheme = "https"
			}
			answered := make(chan int, 1)
			go func() {
				req, err := http.NewRequest(http.MethodGet, scheme+"://"+i.Addresses()[0].String()+"/metrics", nil)
				if err != nil {
					t.Error(err)
				}
				code, _, _ := do(t, client(t, trust), req)
				answered <- code
			}()
			receive(t, "the scrape", g.entered)
			i.connections.mu.Lock()
			for one := range i.connections.open {
				one.read = time.Now().Add(-time.Hour)
			}
			i.connections.mu.Unlock()
			var crowd []net.Conn
			for range 2 * most {
				crowd = append(crowd, i.dial(""))
			}
			isCut(t, "the first of the crowd", crowd[0])
			close(g.open)
			if code := receive(t, "an answer", answered); code != http.StatusOK {
				t.Errorf("code %d", code)
			}
			eventually(t, "nobody to wait for a page", func() bool {
				i.connections.mu.Lock()
				defer i.connections.mu.Unlock()
				for one := range i.connections.open {
					if one.pages != 0 {
						return false
					}
				}
				return true
			})
		})
	}
}

// TestNewcomerIsServed has a crowd come and be answered after a client that is still being answered.
func TestNewcomerIsServed(t *testing.T) {
	const most = 10
	g := newGate()
	i := start(t, func(cfg *Config) { cfg.Families = g.families }, func(s *Server) { s.connections.most = most })
	for range most {
		i.dial("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	answered := i.ask("/metrics")
	receive(t, "the scrape", g.entered)
	for range most - 2 {
		conn := i.dial("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	close(g.open)
	if code := receive(t, "an answer", answered); code != http.StatusOK {
		t.Errorf("code %d", code)
	}
}

// TestSlowRequests are cut off in time, without anybody else coming.
func TestSlowRequests(t *testing.T) {
	i := start(t, nil, func(s *Server) { s.readTimeout = 50 * time.Millisecond })
	for name, text := range map[string]string{
		"a client that asks for nothing": "",
		"half a field":                   "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ",
		"half a body":                    "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
		"a large header":                 "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeader),
	} {
		isCut(t, name, i.dial(text))
	}
}

// TestSocketsAreSmall looks at what the kernel would hold for a client that does not read.
func TestSocketsAreSmall(t *testing.T) {
	i := start(t, nil)
	i.dial("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "a connection", func() bool {
		i.connections.mu.Lock()
		defer i.connections.mu.Unlock()
		return len(i.connections.open) > 0
	})
	i.connections.mu.Lock()
	defer i.connections.mu.Unlock()
	for one := range i.connections.open {
		raw, err := one.Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for name, option := range map[string]int{"sent": unix.SO_SNDBUF, "received": unix.SO_RCVBUF} {
			var bytes int
			err := raw.Control(func(fd uintptr) { bytes, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option) })
			if err != nil || bytes > 2*socketBytes { // the kernel doubles what it is told
				t.Errorf("%d bytes of what is %s, %v", bytes, name, err)
			}
		}
	}
}

// failing is a listener that cannot accept for some time.
type failing struct {
	net.Listener
	times int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.times > 0 {
		f.times--
		return nil, &net.OpError{Op: "accept", Err: unix.EMFILE}
	}
	return f.Listener.Accept()
}

// TestDeafAddress has no descriptors left for clients: one makes room for the next, and the log says
// so once, whatever its level.
func TestDeafAddress(t *testing.T) {
	logs := new(journal)
	cfg := testConfig(logs)
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	here, there := net.Pipe()
	s.connections.add(here)
	l := s.connections.on(&failing{s.listeners[0], 7})
	for range 7 {
		if _, err := l.Accept(); err == nil {
			t.Fatal("it accepts")
		}
	}
	if _, err := there.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection was not given up")
	}
	if n := strings.Count(logs.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors are logged, want one:\n%s", n, logs.String())
	}
	contains(t, logs.String(), "cannot be accepted", "too many open files", s.Addresses()[0].String())
}
