// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// Peers who do not answer: each connection's SYN is sent again once. An IPv4
// peer is the same destination through sockets of either family.
func TestBlackhole(t *testing.T) {
	for _, v := range variants {
		exactly(t, v.name, func(c *check) {
			n := c.newNamespace()
			silent := n.socket(unix.AF_INET6)
			silent.drop(all)
			port := silent.listen()
			e := kerneltest.Run(c, kerneltest.OnlySuffix(Spec(), v.suffix))
			want := make(map[string]int)
			var connections []*socket
			for _, p := range []struct {
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
				to := netip.MustParseAddr(p.to)
				for range p.times {
					s := n.socket(p.family)
					s.connect(netip.AddrPortFrom(to, port), 1)
					connections = append(connections, s)
				}
				want[to.Unmap().String()] += p.times
			}
			for _, s := range connections {
				s.gaveUp()
			}
			if sent := n.retransmitted(); sent != len(connections) {
				c.Errorf("the kernel counts %d retransmits of %d connections", sent, len(connections))
			}
			after := kerneltest.Read(c, e)
			c.agree(after, want, n.retransmitted())
			if v == variants[0] {
				c.recordTotal(after, "SYNs to peers who do not answer", n.retransmitted())
				c.kind(after, "syn", "SYNs to peers who do not answer", "connections that timed out", len(connections))
				c.record(after, "SYNs to an IPv4 peer, by sockets of IPv4 and IPv6", "10.1.2.4", "connections that timed out", want["10.1.2.4"])
			}
		})
	}
}

// Peers who vanish after their SYN: the listener sends its SYN-ACK again once,
// which is answered by a reset. The destination is the peer's, not the
// listener's, and an IPv4 peer the same behind listeners of either family.
func TestSynAck(t *testing.T) {
	for _, v := range variants {
		exactly(t, v.name, func(c *check) {
			n := c.newNamespace()
			e := kerneltest.Run(c, kerneltest.OnlySuffix(Spec(), v.suffix))
			want := make(map[string]int)
			sum := 0
			for _, p := range []struct {
				listener, family int
				from, to         string
				times            int
			}{
				{unix.AF_INET, unix.AF_INET, "10.3.0.1", "10.2.0.1", 2},
				{unix.AF_INET6, unix.AF_INET, "10.3.0.1", "10.2.0.1", 3},
				{unix.AF_INET6, unix.AF_INET, "10.3.0.2", "10.2.0.1", 5},
				{unix.AF_INET6, unix.AF_INET6, "fd03::1", "fd02::1", 7},
			} {
				listener := n.socket(p.listener)
				port := listener.listen()
				for range p.times {
					s := n.socket(p.family)
					s.drop(all)
					s.bind(netip.MustParseAddr(p.from))
					s.connect(netip.AddrPortFrom(netip.MustParseAddr(p.to), port), 1)
					s.close()
				}
				want[p.from] += p.times
				sum += p.times
			}
			n.until("all SYN-ACKs are sent again", func() bool { return n.retransmitted() >= sum })
			after := kerneltest.Read(c, e)
			c.agree(after, want, n.retransmitted())
			if v == variants[0] {
				c.recordTotal(after, "SYN-ACKs to peers who have vanished", n.retransmitted())
				c.record(after, "SYN-ACKs to an IPv4 peer, by listeners of IPv4 and IPv6", "10.3.0.1", "connections asked for", want["10.3.0.1"])
			}
		})
	}
}

// The preferred programs are taken wherever the kernel publishes its types,
// which all kernels of the matrix do.
func TestPreferredPrograms(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	for i, want := range []string{"tcpretransmit_segment_typed", "tcpretransmit_synack_typed"} {
		if h := e.States()[0].Hooks[i]; h.Programs[0] != want {
			t.Errorf("%s is observed by %s, want %s", h.Name, h.Programs[0], want)
		}
	}
}
