// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// secure writes a web configuration file with TLS and one user. It returns the file and the TLS
// configuration of a client that trusts the server.
func secure(t *testing.T, user, password string) (string, *tls.Config) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	write(t, dir, "cert.pem", string(certPEM))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certPEM)
	return write(t, dir, "web.yml", `
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
basic_auth_users:
  `+user+`: `+string(hash)+`
`), &tls.Config{RootCAs: trusted}
}

// withoutUsers takes the users out of a web configuration file.
func withoutUsers(t *testing.T, config string) string {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ = bytes.Cut(text, []byte("basic_auth_users:"))
	return write(t, filepath.Dir(config), "open.yml", string(text))
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLSAndAuthentication(t *testing.T) {
	config, trust := secure(t, "prometheus", "very secret")
	port := free(t, 1)[0]
	i := start(t, func(cfg *Config) {
		cfg.Web = webFlags(config, "127.0.0.1:0", "127.0.0.1:0")
		cfg.CompatPorts = true
		cfg.Collectors = func() []Collector {
			list := slices.Clone(offered)
			list[0].Port = port
			return list
		}
	})
	c := client(t, trust)
	if len(i.Addresses()) != 3 {
		t.Fatalf("listens on %v", i.Addresses())
	}
	for _, address := range i.Addresses() {
		for _, path := range []string{"/metrics", "/", "/-/healthy"} {
			for password, want := range map[string]int{"very secret": 200, "guess": 401, "": 401} {
				req, err := http.NewRequest(http.MethodGet, "https://"+address.String()+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if password != "" {
					req.SetBasicAuth("prometheus", password)
				}
				code, body, _ := do(t, c, req)
				if code != want {
					t.Errorf("%s%s with password %q has code %d, want %d", address, path, password, code, want)
				}
				if code != http.StatusOK {
					lacks(t, body, "diskio")
				}
			}
		}
		code, body, _ := i.get(address, "/metrics")
		if code != http.StatusBadRequest {
			t.Errorf("%s answers without TLS: %d", address, code)
		}
		lacks(t, body, "diskio")
	}
}

// TestOpenProbes answers probes without a password, and nothing else.
func TestOpenProbes(t *testing.T) {
	config, trust := secure(t, "prometheus", "very secret")
	i := start(t, func(cfg *Config) {
		cfg.Web = webFlags(config, "127.0.0.1:0", "127.0.0.1:0")
		cfg.OpenProbes = true
	})
	i.Ready()
	c := client(t, trust)
	for _, address := range i.Addresses() {
		for path, want := range map[string]int{
			"/-/healthy": 200, "/-/ready": 200, "/-/": 404, "/metrics": 401, "/": 401, "/distributions": 401,
			"/-/../metrics": 401, "/-//../metrics": 401, "//-/ready": 401, "/metrics/-/ready": 401,
		} {
			req, err := http.NewRequest(http.MethodGet, "https://"+address.String()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			code, body, _ := do(t, c, req)
			if code != want {
				t.Errorf("%s has code %d, want %d", path, code, want)
			}
			lacks(t, body, "diskio")
		}
	}
}

func TestBadWebConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ text, says string }{
		"unknown.yml":  {"tls_server_confg:\n  cert_file: x\n", "tls_server_confg"},
		"nokey.yml":    {"tls_server_config:\n  cert_file: x\n", "missing one of key or key_file"},
		"nofile.yml":   {"tls_server_config:\n  cert_file: x\n  key_file: y\n", "no such file"},
		"password.yml": {"basic_auth_users:\n  me: plain\n", "bcrypt"},
		"absent.yml":   {"", "no such file"},
	} {
		cfg := testConfig(new(journal))
		port := free(t, 1)[0]
		path := filepath.Join(dir, name)
		if tt.text != "" {
			write(t, dir, name, tt.text)
		}
		cfg.Web = webFlags(path, onLoopback(port))
		s, err := Listen(cfg)
		if err == nil {
			s.Close()
			t.Errorf("%s is accepted", name)
			continue
		}
		contains(t, err.Error(), "reading the web configuration file "+path+": ", tt.says)
		expectClosed(t, port)
	}
}

// If the web configuration becomes unreadable between Listen and Serve, the server ends on every
// address.
func TestServeReportsFailure(t *testing.T) {
	config, _ := secure(t, "prometheus", "very secret")
	cfg := testConfig(new(journal))
	cfg.Web = webFlags(config, "127.0.0.1:0", "127.0.0.1:0")
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context()) }()
	if err := receive(t, "the end of Serve", served); err == nil {
		t.Error("no error")
	} else {
		contains(t, err.Error(), "serving 127.0.0.1:", "no such file")
	}
	for _, address := range s.Addresses() {
		expectClosed(t, uint16(address.(*net.TCPAddr).Port))
	}
}
