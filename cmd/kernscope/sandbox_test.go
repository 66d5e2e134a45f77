// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/sandbox"
)

// intrude makes the command do, at every SIGUSR1, what somebody would try who
// took the process over, and log what became of it.
func intrude() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			shell := exec.Command("sh", "-c", "true")
			shell.Stdin, shell.Stdout, shell.Stderr = os.Stdin, os.Stdout, os.Stderr
			ran := shell.Run()
			_, read := os.ReadFile("/etc/passwd")
			wrote := os.WriteFile("/etc/kernscope.test", nil, 0o600)
			_ = os.Remove("/etc/kernscope.test")
			_, dialled := net.Dial("udp", "127.0.0.1:9")
			fmt.Fprintf(os.Stderr, "intruder: shell %v; read %v; wrote %v; dialled %v.\n", ran, read, wrote, dialled)
		}
	}()
}

// intruder is what became of an attempt to use the process.
func (p *process) intruder() string {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, line, ok := strings.Cut(p.log(), "intruder: "); ok && strings.Contains(line, ".\n") {
			return strings.TrimSuffix(line, ".\n")
		}
	}
	p.t.Fatal("no word of the intruder")
	return ""
}

// certificate writes a new certificate and its key to a folder, and returns its
// number.
func certificate(t *testing.T, dir string, number int64) *big.Int {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return template.SerialNumber
}

// shown is the number of the certificate that a server shows.
func shown(t *testing.T, address string) (*big.Int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber, nil
}

// TestServeConfined scrapes, lets somebody take the process over, and ends it;
// and the same without the sandbox, where all of that works.
func TestServeConfined(t *testing.T) {
	kerneltest.Open(t)
	known := make(map[string]bool)
	for _, p := range sandbox.Known() {
		known[p.Name] = p.Reason == ""
	}
	for _, confined := range []bool{true, false} {
		address := freeAddress(t)
		args := []string{"serve", "--web.listen-address=" + address}
		if !confined {
			args = append(args, "--no-sandbox")
		}
		conn := systemd(t)
		p := start(t, nil, args...)
		if got := heard(t, conn); got != "READY=1" {
			t.Errorf("systemd heard %q", got)
		}
		metrics := p.get("http://" + address + "/metrics")
		for _, s := range builtin.Collectors() {
			if line := fmt.Sprintf("kernscope_collector_success{collector=%q} 1", s.Name); !strings.Contains(metrics, line) {
				t.Errorf("confined %v: no line %s", confined, line)
			}
		}
		if got := strings.Contains(metrics, `kernscope_sandbox{part="seccomp",reason=""} 1`); got != (confined && known["seccomp"]) {
			t.Errorf("confined %v: the metric says %v", confined, got)
		}
		status, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range status {
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "Seccomp:\t2") != (confined && known["seccomp"]) {
				t.Errorf("confined %v: %s says\n%s", confined, file, text)
			}
		}
		got := p.intruder()
		for part, deeds := range map[string][]string{"seccomp": {"shell", "wrote", "dialled"}, "landlock": {"read"}} {
			for _, deed := range deeds {
				if did := strings.Contains(got, deed+" <nil>"); did == (confined && known[part]) {
					t.Errorf("confined %v: %s", confined, got)
				}
			}
		}
		p.get("http://" + address + "/metrics")
		p.stop()
		if got := heard(t, conn); got != "STOPPING=1" {
			t.Errorf("systemd heard %q at the end", got)
		}
	}
}

// TestCertificatesAreReplacedInTheSandbox replaces certificates as Kubernetes
// does, by a link to another folder, and as others do, file by file.
func TestCertificatesAreReplacedInTheSandbox(t *testing.T) {
	kerneltest.Open(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	want := certificate(t, in("first"), 1)
	link := func(to string) {
		if err := os.Symlink(to, in("new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(in("new"), in("now")); err != nil {
			t.Fatal(err)
		}
	}
	link("first")
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.Symlink("now/"+name, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(in("web.yml"), []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	p := start(t, nil, "serve", "schedlat", "--web.listen-address="+address, "--web.config.file="+in("web.yml"))
	shows := func(when string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			got, err := shown(t, address)
			if err == nil && got.Cmp(want) == 0 {
				return
			}
			if time.Now().After(deadline) || when != "at first" {
				t.Fatalf("%s: certificate %v, %v, want %v\n%s", when, got, err, want, p.log())
			}
		}
	}
	shows("at first")
	want = certificate(t, in("second"), 2)
	link("second")
	shows("by a link")
	want = certificate(t, in("second"), 3)
	shows("in place")
	p.stop()
}

// TestPinsInTheSandbox ends an exporter that pins: the next goes on.
func TestPinsInTheSandbox(t *testing.T) {
	p := newPlace(t)
	for _, adopted := range []int{0, 1} {
		address := freeAddress(t)
		exporter := start(t, nil, "serve", "fileops", "--pin", "--pin-directory="+p.pins, "--web.listen-address="+address)
		want := fmt.Sprintf("kernscope_collector_adopted{collector=\"fileops\"} %d\n", adopted)
		if metrics := exporter.get("http://" + address + "/metrics"); !strings.Contains(metrics, want) {
			t.Errorf("no line %s", want)
		}
		exporter.stop()
	}
}
