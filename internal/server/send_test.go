// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/metric"
)

// megabyte is a source whose answers are of about a megabyte: more than sockets hold.
func megabyte(ctx context.Context, names []string) ([]metric.Family, error) {
	f := metric.Family{Name: "ebpf_large_total", Help: "Large.", Type: metric.Counter, Labels: []string{"a"}}
	padding := strings.Repeat("x", 1000)
	for n := range 1000 {
		f.Samples = append(f.Samples, metric.Sample{Labels: []string{fmt.Sprint(n, padding)}})
	}
	return []metric.Family{f}, ctx.Err()
}

// beingSent returns the number of answers that are being sent, and the bytes of their pages.
func (d *desk) beingSent() (answers, bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue), d.bytes
}

// TestClientsThatDoNotRead ask one after the other for pages that they never read, each in a form
// of its own. They keep no slot and little memory, and others are served.
func TestClientsThatDoNotRead(t *testing.T) {
	settled := expectNoLeak(t)
	const clients, most = 30, 5 << 20
	i := start(t, func(cfg *Config) {
		cfg.MaxRequests = 1
		cfg.Families = megabyte
	}, func(s *Server) { s.desk.most = most })
	var conns []net.Conn
	for n := range clients {
		conn := i.dial(fmt.Sprintf("GET /metrics?name[]=ebpf_large_total&name[]=%d HTTP/1.1\r\nHost: x\r\n\r\n", n))
		conns = append(conns, conn)
		if line := make([]byte, 15); true {
			if _, err := conn.Read(line); err != nil || string(line) != "HTTP/1.1 200 OK" {
				t.Fatalf("client %d: %q, %v", n, line, err)
			}
		}
		if answers, bytes := i.desk.beingSent(); bytes > most || answers == 0 {
			t.Fatalf("%d answers of %d bytes are being sent, the limit is %d", answers, bytes, most)
		}
	}
	for range 3 {
		if code, body, _ := i.page("/metrics"); code != http.StatusOK || strings.Count(body, "ebpf_large_total{") != 1000 {
			t.Errorf("code %d, %d bytes", code, len(body))
		}
	}
	for n, conn := range conns[:clients/2] {
		isCut(t, fmt.Sprintf("client %d", n), conn)
	}
	for _, conn := range conns {
		conn.Close()
	}
	eventually(t, "the clients to be forgotten", func() bool {
		answers, bytes := i.desk.beingSent()
		return answers == 0 && bytes == 0
	})
	if err := i.end(); err != nil {
		t.Error(err)
	}
	lacks(t, i.logs.String(), "level=ERROR")
	settled()
}

// TestSharedPagesAreCountedOnce sends one page to many that do not read.
func TestSharedPagesAreCountedOnce(t *testing.T) {
	d := &desk{most: 10, copies: make(map[*page]int)}
	cut := make(map[string]int)
	add := func(name string, p *page) func() { return d.add(p, func() { cut[name]++ }) }
	pageOf := func(bytes int) *page {
		p := new(page)
		p.body.Write(make([]byte, bytes))
		return p
	}
	shared, large := pageOf(6), pageOf(11)
	first := add("first", shared)
	add("second", shared)
	add("other", pageOf(4))
	if n, bytes := d.beingSent(); n != 3 || bytes != 10 || len(cut) != 0 {
		t.Errorf("%d answers of %d bytes, cut off %v", n, bytes, cut)
	}
	third := add("third", pageOf(1))
	if n, bytes := d.beingSent(); n != 2 || bytes != 5 || cut["first"] != 1 || cut["second"] != 1 || len(cut) != 2 {
		t.Errorf("%d answers of %d bytes, cut off %v", n, bytes, cut)
	}
	first()
	third()
	add("large", large) // nobody else, but it, is sent
	if n, bytes := d.beingSent(); n != 1 || bytes != 11 || cut["other"] != 1 || len(cut) != 3 {
		t.Errorf("%d answers of %d bytes, cut off %v", n, bytes, cut)
	}
}

// TestClientThatReadsTooSlowly is cut off, without anybody else coming.
func TestClientThatReadsTooSlowly(t *testing.T) {
	i := start(t, func(cfg *Config) { cfg.Families = megabyte }, func(s *Server) { s.sendTimeout = 50 * time.Millisecond })
	conn := i.dial("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the client to be cut off", func() bool { return strings.Contains(i.logs.String(), "The scraper hung up") })
	isCut(t, "a client that does not read", conn)
}
