// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/vsock"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/metric"
)

// hold occupies a port on loopback until the test ends.
func hold(t *testing.T, host string) (net.Listener, uint16) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, uint16(l.Addr().(*net.TCPAddr).Port)
}

// free returns ports that are free on loopback.
func free(t *testing.T, n int) []uint16 {
	t.Helper()
	var ports []uint16
	for range n {
		l, port := hold(t, "127.0.0.1")
		defer l.Close()
		ports = append(ports, port)
	}
	return ports
}

func onLoopback(port uint16) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// expectClosed fails if something listens on a port.
func expectClosed(t *testing.T, port uint16) {
	t.Helper()
	l, err := net.Listen("tcp", onLoopback(port))
	if err != nil {
		t.Errorf("port %d was left open: %v", port, err)
		return
	}
	l.Close()
}

func TestSeveralAddresses(t *testing.T) {
	i := start(t, func(cfg *Config) { cfg.Web = webFlags("", "127.0.0.1:0", "127.0.0.2:0", "[::1]:0") })
	if len(i.Addresses()) != 3 {
		t.Fatalf("listens on %v", i.Addresses())
	}
	for _, address := range i.Addresses() {
		_, body, _ := i.get(address, "/metrics")
		contains(t, body, "ebpf_diskio_total", "ebpf_syscall_total")
	}
}

func TestCompatPorts(t *testing.T) {
	ports := free(t, 2)
	asked := make(chan []string, 10)
	i := start(t, func(cfg *Config) {
		cfg.CompatPorts = true
		cfg.SelfMetrics = prometheus.NewRegistry()
		cfg.SelfMetrics.MustRegister(collectors.NewGoCollector())
		cfg.Web = webFlags("", "127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0")
		cfg.Collectors = func() []Collector {
			list := slices.Clone(offered) // the second has no port
			list[0].Port, list[2].Port = ports[0], ports[1]
			return list
		}
		cfg.Families = func(ctx context.Context, names []string) ([]metric.Family, error) {
			asked <- names
			return source(ctx, names)
		}
	})
	var got []string
	for _, a := range i.Addresses()[3:] {
		got = append(got, a.String())
	}
	want := []string{
		onLoopback(ports[0]), fmt.Sprintf("127.0.0.2:%d", ports[0]),
		onLoopback(ports[1]), fmt.Sprintf("127.0.0.2:%d", ports[1]),
	}
	if !slices.Equal(got, want) {
		t.Fatalf("collectors listen on %v, want %v", got, want)
	}
	for n, address := range i.Addresses()[3:] {
		name, other := "diskio", "syscall"
		if n > 1 {
			name, other = other, name
		}
		_, body, _ := i.get(address, "/metrics")
		contains(t, body, "ebpf_"+name+"_total 23\n", `kernscope_collector_up{collector="`+name+`"} 1`)
		lacks(t, body, other, "schedlat", "go_goroutines", "promhttp")
		if names := receive(t, "a scrape", asked); !slices.Equal(names, []string{name}) {
			t.Errorf("on the port of %s the source is asked for %v", name, names)
		}
		code, body, _ := i.get(address, "/metrics?collect[]="+other)
		if code != http.StatusBadRequest {
			t.Errorf("on the port of %s, %s has code %d", name, other, code)
		}
		contains(t, body, "there are "+name)
		_, body, _ = i.get(address, "/")
		contains(t, body, ">"+name+"<")
		lacks(t, body, ">"+other+"<")
	}
	_, body, _ := i.get(i.Addresses()[1], "/metrics")
	contains(t, body, "ebpf_diskio_total", "ebpf_schedlat_total", "ebpf_syscall_total", "go_goroutines",
		`promhttp_metric_handler_requests_total{code="200"} 4`, `promhttp_metric_handler_requests_total{code="400"} 4`)
}

// A listener on all addresses also takes the ports of the single addresses.
func TestHostsOf(t *testing.T) {
	var listeners []listener
	for _, address := range []string{"127.0.0.1:0", ":0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listeners = append(listeners, listener{Listener: l})
	}
	if hosts := hostsOf(listeners); len(hosts) != 1 || !hosts[0].IP.IsUnspecified() {
		t.Errorf("hosts are %v", hosts)
	}
}

func TestAddressesThatCannotBeOpened(t *testing.T) {
	_, busy := hold(t, "127.0.0.1")
	ports := free(t, 2)
	for name, tt := range map[string]struct {
		addresses []string
		own       uint16 // the port of diskio
		says      []string
	}{
		"busy": {
			[]string{onLoopback(ports[0]), onLoopback(busy)}, 0,
			[]string{"listening on " + onLoopback(busy) + ": the port is taken", "choose another --web.listen-address"},
		},
		"busy for a collector": {
			[]string{onLoopback(ports[0])}, busy,
			[]string{"opening the port of collector diskio: listening on " + onLoopback(busy) + ": the port is taken", "leave out --compat-ports"},
		},
		"collector on the main port": {
			[]string{onLoopback(ports[0]), onLoopback(ports[1])}, ports[1],
			[]string{"collector diskio", onLoopback(ports[1]) + ": it is the main address already"},
		},
		"no such address":  {[]string{onLoopback(ports[0]), "192.0.2.1:9436"}, 0, []string{"192.0.2.1:9436: this machine has no such address"}},
		"no port":          {[]string{onLoopback(ports[0]), "localhost"}, 0, []string{"listening on localhost: ", "missing port"}},
		"empty port":       {[]string{onLoopback(ports[0]), "127.0.0.1:"}, 0, []string{"listening on 127.0.0.1:: ", "it has no port"}},
		"empty address":    {[]string{onLoopback(ports[0]), ""}, 0, []string{"missing port"}},
		"no path":          {[]string{onLoopback(ports[0]), "unix://"}, 0, []string{"listening on unix://: ", "absolute path"}},
		"relative path":    {[]string{onLoopback(ports[0]), "unix:x.sock"}, 0, []string{"absolute path"}},
		"path with host":   {[]string{onLoopback(ports[0]), "unix://run/x.sock"}, 0, []string{"absolute path"}},
		"no mode":          {[]string{onLoopback(ports[0]), "unix:///x.sock?mode=rw"}, 0, []string{`mode "rw"`, "660"}},
		"odd mode":         {[]string{onLoopback(ports[0]), "unix:///x.sock?mode=4777"}, 0, []string{`mode "4777"`}},
		"no such question": {[]string{onLoopback(ports[0]), "unix:///x.sock?owner=me"}, 0, []string{`no "owner"`}},
		"no such folder":   {[]string{onLoopback(ports[0]), "unix:///nowhere/x.sock"}, 0, []string{"the folder of the socket does not exist: create it"}},
		"no socket":        {[]string{onLoopback(ports[0]), "unix:///etc/passwd"}, 0, []string{"a file that is no socket is there"}},
		"no number":        {[]string{onLoopback(ports[0]), "vsock://:x"}, 0, []string{"listening on vsock://:x: "}},
		"nothing to do":    {nil, 0, []string{"no address to listen on: give one with --web.listen-address"}},
		"negative maximum": {[]string{onLoopback(ports[0])}, 0, []string{"the limit of concurrent scrapes is -1"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(new(journal))
			cfg.Web = webFlags("", tt.addresses...)
			cfg.CompatPorts = tt.own != 0
			cfg.Collectors = func() []Collector { return []Collector{{Name: "diskio", Port: tt.own}} }
			if name == "negative maximum" {
				cfg.MaxRequests = -1
			}
			s, err := Listen(cfg)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			contains(t, err.Error(), tt.says...)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			expectClosed(t, ports[0])
			expectClosed(t, ports[1])
		})
	}
}

// systemdVariable makes this test binary a server on the sockets that systemd passes.
const systemdVariable = "KERNSCOPE_SYSTEMD_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(systemdVariable) == "" {
		os.Exit(m.Run())
	}
	cfg := testConfig(new(journal))
	cfg.Web = webFlags("", "127.0.0.1:1")
	*cfg.Web.WebSystemdSocket = true
	s, err := Listen(cfg)
	if err == nil {
		err = s.Serve(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestSystemdSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// The environment must name the process that gets the socket, and only that process knows its
	// id.
	child := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"`, os.Args[0])
	child.Env = append(os.Environ(), systemdVariable+"=1")
	child.ExtraFiles = []*os.File{socket}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	c := client(t, nil)
	c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}
	req, err := http.NewRequest(http.MethodGet, "http://systemd/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := do(t, c, req)
	contains(t, body, "ebpf_diskio_total 23\n")

	orphan := exec.Command(os.Args[0])
	orphan.Env = child.Env
	out, err := orphan.CombinedOutput()
	if err == nil {
		t.Error("serves without sockets")
	}
	contains(t, string(out), "systemd handed over no socket")
}

// TestVsock opens an address that needs no device file: a sandbox has none. Where the kernel knows no
// such sockets, the error says so.
func TestVsock(t *testing.T) {
	fd, known := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if known == nil {
		defer unix.Close(fd)
	}
	l, err := openVsock("vsock://:19436")
	if err != nil {
		if known == nil || !errors.Is(err, known) {
			t.Errorf("%v, where a socket is %v", err, known)
		}
		return
	}
	defer l.Close()
	if address := l.Addr().(*vsock.Addr); address.ContextID != unix.VMADDR_CID_ANY || address.Port != 19436 {
		t.Errorf("it listens on %v", address)
	}
}
