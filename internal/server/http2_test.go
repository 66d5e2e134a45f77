// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/prometheus/client_golang/prometheus"
)

// stranger is a client of HTTP/2 that does as it likes.
type stranger struct {
	*http2.Framer
	conn   *tls.Conn
	header []byte
	next   uint32 // stream
}

// strange connects a stranger who opens windows of so many bytes.
func (i *instance) strange(trust *tls.Config, window uint32) *stranger {
	i.t.Helper()
	config := trust.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", i.Addresses()[0].String(), config)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { conn.Close() })
	if p := conn.ConnectionState().NegotiatedProtocol; p != "h2" {
		i.t.Fatalf("protocol %q", p)
	}
	var header bytes.Buffer
	encoder := hpack.NewEncoder(&header)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/metrics"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			i.t.Fatal(err)
		}
	}
	s := &stranger{http2.NewFramer(conn, conn), conn, header.Bytes(), 1}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		i.t.Fatal(err)
	}
	if err := s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		i.t.Fatal(err)
	}
	return s
}

// ask begins a request. Each has the same header, in the same bytes: literals.
func (s *stranger) ask() (stream uint32, err error) {
	stream = s.next
	s.next += 2
	return stream, s.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: s.header, EndStream: true, EndHeaders: true})
}

// TestResetStorm has clients that begin requests and take them back at once, as fast as they can,
// beside a scraper, which gets all of its answers.
func TestResetStorm(t *testing.T) {
	settled := expectNoLeak(t)
	config, trust := secure(t, "nobody", "x")
	config = withoutUsers(t, config)
	i := start(t, func(cfg *Config) {
		cfg.Web = webFlags(config, "127.0.0.1:0")
		cfg.MaxRequests = 1
		cfg.Families = megabyte
		cfg.SelfMetrics = prometheus.NewRegistry()
	})
	stop := make(chan struct{})
	ended := make(chan int)
	const strangers = 4
	for range strangers {
		go func() {
			requests := 0
			defer func() { ended <- requests }()
			for {
				s := i.strange(trust, 1<<20)
				for {
					select {
					case <-stop:
						s.conn.Close()
						return
					default:
					}
					stream, err := s.ask()
					if err == nil {
						err = s.WriteRSTStream(stream, http2.ErrCodeCancel)
					}
					if err != nil {
						break // the server has had enough of this one
					}
					requests++
				}
				s.conn.Close()
			}
		}()
	}
	c := client(t, trust.Clone())
	for range 15 {
		req, err := http.NewRequest(http.MethodGet, "https://"+i.Addresses()[0].String()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if code, body, _ := do(t, c, req); code != http.StatusOK || strings.Count(body, "ebpf_large_total{") != 1000 {
			t.Errorf("code %d, %.200s", code, body)
		}
	}
	close(stop)
	for range strangers {
		if n := receive(t, "the end of a storm", ended); n == 0 {
			t.Error("a stranger made no request: the test shows nothing")
		}
	}
	c.CloseIdleConnections()
	if err := i.end(); err != nil {
		t.Error(err)
	}
	lacks(t, i.logs.String(), "level=ERROR")
	settled()
}

// TestStreamsThatAreNotRead has a client ask for many pages on one connection, of which it reads
// nothing.
func TestStreamsThatAreNotRead(t *testing.T) {
	config, trust := secure(t, "nobody", "x")
	config = withoutUsers(t, config)
	i := start(t, func(cfg *Config) {
		cfg.Web = webFlags(config, "127.0.0.1:0")
		cfg.MaxRequests = 1
		cfg.Families = megabyte
	})
	s := i.strange(trust, 0)
	for range 50 {
		if _, err := s.ask(); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for refused < 50-mostStreams {
		frame, err := s.ReadFrame()
		if err != nil {
			t.Fatalf("after %d refused streams: %v", refused, err)
		}
		if rst, ok := frame.(*http2.RSTStreamFrame); ok && rst.ErrCode == http2.ErrCodeRefusedStream {
			refused++
		}
	}
	req, err := http.NewRequest(http.MethodGet, "https://"+i.Addresses()[0].String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, _ := do(t, client(t, trust), req); code != http.StatusOK {
		t.Errorf("another client has code %d", code)
	}
	if answers, _ := i.desk.beingSent(); answers > mostStreams {
		t.Errorf("%d answers are being sent", answers)
	}
}
