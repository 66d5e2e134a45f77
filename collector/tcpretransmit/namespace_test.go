// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// namespace is a network of the test's own.
type namespace struct {
	*kerneltest.Network
	t testing.TB
}

// newNamespace makes a network that ends with the attempt. In it, all of 10/8 and
// fc00::/7 are addresses of the loopback device, whose packets are small
// enough that TCP hands several segments at once to it.
func (c *check) newNamespace() *namespace {
	c.Helper()
	network, err := kerneltest.NewNetwork()
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(network.Close)
	c.networks = append(c.networks, network)
	n := &namespace{network, c}
	n.run("ip link set lo up mtu 1500")
	n.run("ip route add local 10.0.0.0/8 dev lo")
	n.run("ip -6 route add local fc00::/7 dev lo")
	n.must(n.Set("ipv6/ip_nonlocal_bind", "1")) // IPv4 needs no leave to bind to those
	// Linux before 6.5 has no linear timeouts: SYNs that are sent more often
	// than a socket asks for.
	if err := n.Set("ipv4/tcp_syn_linear_timeouts", "0"); !errors.Is(err, fs.ErrNotExist) {
		n.must(err)
	}
	return n
}

func (n *namespace) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// do calls a function on the namespace's thread: the sockets that it makes are
// in the namespace.
func (n *namespace) do(f func() error) {
	n.t.Helper()
	n.must(n.Do(f))
}

// run runs a command in the namespace.
func (n *namespace) run(command string) {
	n.t.Helper()
	kerneltest.Tool(n.t, strings.Fields(command)[0])
	n.must(n.Run(command))
}

// counter is what the kernel has counted in the namespace.
func (n *namespace) counter(file, group, name string) int {
	n.t.Helper()
	value, err := n.Counter(file, group, name)
	n.must(err)
	return value
}

// retransmitted are the segments sent again, whether or not they got through
// the machine's own network layer.
func (n *namespace) retransmitted() int { return n.counter("snmp", "Tcp", "RetransSegs") }

// failed are those of them that did not.
func (n *namespace) failed() int { return n.counter("netstat", "TcpExt", "TCPRetransFail") }

// until waits for a condition, and then for timers that are just at work: the
// kernel counts a retransmit before it tells programs.
func (n *namespace) until(what string, condition func() bool) {
	n.t.Helper()
	kerneltest.Until(n.t, what, func() error {
		if condition() {
			return nil
		}
		return errors.New("not yet")
	})
	const global = 1 // MEMBARRIER_CMD_GLOBAL, which waits for RCU
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		n.t.Fatalf("waiting for all CPUs: %v", errno)
	}
}

// socket makes a TCP socket in the namespace, closed when the test ends if not
// before, which does not wait for connections.
func (n *namespace) socket(family int) *socket {
	n.t.Helper()
	s := &socket{t: n.t, family: family}
	n.do(func() (err error) {
		s.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	n.t.Cleanup(s.close)
	return s
}

// socket is a TCP socket by its file descriptor.
type socket struct {
	t          testing.TB
	fd, family int
	closed     bool
}

func (s *socket) must(doing string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", doing, err)
	}
}

// close ends the socket at once: nothing is sent again after it.
func (s *socket) close() {
	s.t.Helper()
	if s.closed {
		return
	}
	s.closed = true
	s.must("setting no linger", unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	s.must("closing", unix.Close(s.fd))
}

// name is an address as the socket's family wants it.
func (s *socket) name(a netip.AddrPort) unix.Sockaddr {
	if s.family == unix.AF_INET {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// listen makes the socket a listener on all addresses and returns its port.
func (s *socket) listen() uint16 {
	s.t.Helper()
	all := netip.IPv4Unspecified()
	if s.family == unix.AF_INET6 {
		all = netip.IPv6Unspecified()
	}
	s.must("binding", unix.Bind(s.fd, s.name(netip.AddrPortFrom(all, 0))))
	s.must("listening", unix.Listen(s.fd, 512))
	own, err := unix.Getsockname(s.fd)
	s.must("asking for the port", err)
	if in4, ok := own.(*unix.SockaddrInet4); ok {
		return uint16(in4.Port)
	}
	return uint16(own.(*unix.SockaddrInet6).Port)
}

// bind gives the socket an address of its own.
func (s *socket) bind(a netip.Addr) {
	s.t.Helper()
	s.must("binding", unix.Bind(s.fd, s.name(netip.AddrPortFrom(a, 0))))
}

// connect sends a SYN, to be sent again that often.
func (s *socket) connect(to netip.AddrPort, again int) {
	s.t.Helper()
	s.must("limiting SYNs", unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_SYNCNT, again))
	if err := unix.Connect(s.fd, s.name(to)); !errors.Is(err, unix.EINPROGRESS) {
		s.t.Fatalf("connecting to %s: %v", to, err)
	}
}

// drop has the socket lose that part, of 2^32, of the packets that reach it.
func (s *socket) drop(part uint32) { s.must("attaching a filter", drop(s.fd, part)) }

func drop(fd int, part uint32) error {
	const random = 0xfffff000 + 56 // SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: random},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: part, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// all is the part to [drop] of everything.
const all = ^uint32(0)

// gaveUp waits until the socket's connection has failed.
func (s *socket) gaveUp() {
	s.t.Helper()
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(fds, 60_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			s.t.Fatalf("a connection without answer does not fail: %v", err)
		}
		break
	}
	code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	s.must("asking for the error", err)
	if unix.Errno(code) != unix.ETIMEDOUT {
		s.t.Fatalf("a connection without answer ends with %v", unix.Errno(code))
	}
}
