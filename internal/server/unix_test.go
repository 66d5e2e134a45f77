// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestUnixSocket serves on sockets of different modes, whatever the umask takes away, and removes
// them at the end.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	for address, want := range map[string]fs.FileMode{
		"unix://" + path: 0o660, "unix:" + path: 0o660,
		"unix://" + path + "?mode=0666": 0o666, "unix://" + path + "?mode=600": 0o600,
	} {
		i := start(t, func(cfg *Config) { cfg.Web = webFlags("", address) })
		about, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if about.Mode() != want|fs.ModeSocket {
			t.Errorf("%s has mode %v", address, about.Mode())
		}
		c := client(t, nil)
		c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", path)
		}
		req, err := http.NewRequest(http.MethodGet, "http://kernscope/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := do(t, c, req)
		contains(t, body, "ebpf_diskio_total 23\n")
		c.CloseIdleConnections()

		second := testConfig(new(journal))
		second.Web = webFlags("", address)
		if s, err := Listen(second); err == nil {
			s.Close()
			t.Error("two listen on one socket")
		} else {
			contains(t, err.Error(), address, "another process listens")
		}
		if err := i.end(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left behind", path)
		}
	}
}

// TestStaleSocket has a socket that a process left behind that was killed.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	cfg := testConfig(new(journal))
	cfg.Web = webFlags("", "unix://"+path)
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
