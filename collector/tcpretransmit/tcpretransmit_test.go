// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// The tests' networks have no other addresses than these.
var ours = []string{"10.0.0.0/8", "fc00::/7"}

// agree compares with what is expected of each destination, and the sum with
// what the kernel counted in the namespaces.
func agree(t *testing.T, n kerneltest.Numbers, want map[string]int, kernel int) {
	t.Helper()
	got := rows(t, n)
	for destination, segments := range want {
		t.Logf("%-24s expected %5d, counted %5d", destination, segments, got[destination])
		if got[destination] != segments {
			t.Errorf("%s: counted %d segments, want %d", destination, got[destination], segments)
		}
	}
	counted := within(t, got, ours...)
	t.Logf("%-24s kernel   %5d, counted %5d", "TcpRetransSegs", kernel, counted)
	if counted != kernel {
		t.Errorf("counted %d segments, the kernel %d", counted, kernel)
	}
	n.Lost(t)
}

// Peers who do not answer: each connection's SYN is sent again once. An IPv4
// peer is the same destination through sockets of either family.
func TestBlackhole(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			n := newNamespace(t)
			silent := n.socket(unix.AF_INET6)
			silent.drop(all)
			port := silent.listen()
			e := kerneltest.Run(t, only(Spec(), v.suffix))
			want := make(map[string]int)
			var connections []*socket
			for _, c := range []struct {
				family int
				to     string
				times  int
			}{
				{unix.AF_INET, "10.1.2.3", 2},
				{unix.AF_INET, "10.1.2.4", 3},
				{unix.AF_INET6, "::ffff:10.1.2.4", 5},
				{unix.AF_INET6, "::ffff:10.1.2.5", 7},
				{unix.AF_INET6, "fd00:1:2:3::4", 11},
				{unix.AF_INET6, "fd00:1:2:3::5", 13},
			} {
				to := netip.MustParseAddr(c.to)
				for range c.times {
					s := n.socket(c.family)
					s.connect(netip.AddrPortFrom(to, port), 1)
					connections = append(connections, s)
				}
				want[to.Unmap().String()] += c.times
			}
			for _, s := range connections {
				s.gaveUp()
			}
			if sent := n.retransmitted(); sent != len(connections) {
				t.Errorf("the kernel counts %d retransmits of %d connections", sent, len(connections))
			}
			agree(t, kerneltest.Read(t, e), want, n.retransmitted())
		})
	}
}

// Peers who vanish after their SYN: the listener sends its SYN-ACK again once,
// which is answered by a reset. The destination is the peer's, not the
// listener's, and an IPv4 peer the same behind listeners of either family.
func TestSynAck(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			n := newNamespace(t)
			n.run("ip addr add fd03::1 dev lo") // else none can bind to it
			e := kerneltest.Run(t, only(Spec(), v.suffix))
			want := make(map[string]int)
			sum := 0
			for _, c := range []struct {
				listener, family int
				from, to         string
				times            int
			}{
				{unix.AF_INET, unix.AF_INET, "10.3.0.1", "10.2.0.1", 2},
				{unix.AF_INET6, unix.AF_INET, "10.3.0.1", "10.2.0.1", 3},
				{unix.AF_INET6, unix.AF_INET, "10.3.0.2", "10.2.0.1", 5},
				{unix.AF_INET6, unix.AF_INET6, "fd03::1", "fd02::1", 7},
			} {
				listener := n.socket(c.listener)
				port := listener.listen()
				for range c.times {
					s := n.socket(c.family)
					s.drop(all)
					s.bind(netip.MustParseAddr(c.from))
					s.connect(netip.AddrPortFrom(netip.MustParseAddr(c.to), port), 1)
					s.close()
				}
				want[c.from] += c.times
				sum += c.times
			}
			n.until("all SYN-ACKs are sent again", func() bool { return n.retransmitted() >= sum })
			agree(t, kerneltest.Read(t, e), want, n.retransmitted())
		})
	}
}

// The preferred programs are taken wherever the kernel publishes its types,
// which all kernels of the matrix do.
func TestPreferredPrograms(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	for i, want := range []string{"tcpretransmit_segment_typed", "tcpretransmit_synack_typed"} {
		if h := e.States()[0].Hooks[i]; h.Program != want {
			t.Errorf("%s is observed by %s, want %s", h.Name, h.Program, want)
		}
	}
}
