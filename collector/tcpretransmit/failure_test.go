// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// attempts are the times the socket's timer has tried to send again.
func (s *socket) attempts() int {
	s.t.Helper()
	info, err := unix.GetsockoptTCPInfo(s.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	s.must("asking for the retransmits", err)
	return int(info.Retransmits)
}

// What does not leave the machine's own network layer was not sent. The kernel
// counts in TcpRetransSegs what a full queue refuses, and says in TCPRetransFail
// how much that was; it counts nothing if there is no route any more. Programs
// are told of such failures since Linux 6.17.
func TestFailures(t *testing.T) {
	for _, v := range variants {
		for _, tt := range []struct {
			name  string
			fail  []string
			fails bool // as the kernel counts
		}{
			// No packet is as small as that.
			{"queue", []string{"tc qdisc add dev lo root tbf rate 1kbit burst 10 limit 10"}, true},
			{"route", []string{"ip route del local 10.0.0.0/8 dev lo", "ip route add unreachable 10.0.0.0/8"}, false},
		} {
			exactly(t, v.name+"/"+tt.name, func(c *check) {
				n := c.newNamespace()
				silent := n.socket(unix.AF_INET)
				silent.drop(all)
				port := silent.listen()
				e := kerneltest.Run(c, kerneltest.OnlySuffix(Spec(), v.suffix))
				s := n.socket(unix.AF_INET)
				s.connect(netip.AddrPortFrom(netip.MustParseAddr("10.6.0.1"), port), 6)
				n.until("a SYN is sent again", func() bool { return n.retransmitted() > 0 })
				for _, command := range tt.fail {
					n.run(command)
				}
				before := s.attempts()
				n.until("another is tried", func() bool { return s.attempts() > before })
				s.close()

				kernel, failed := n.retransmitted(), n.failed()
				c.Logf("TcpRetransSegs %d, TCPRetransFail %d", kernel, failed)
				if failed > 0 != tt.fails {
					c.Errorf("the kernel counts %d failures", failed)
				}
				after := kerneltest.Read(c, e)
				c.agree(after, map[string]int{"10.6.0.1": kernel - failed}, kernel-failed)
				if v == variants[0] {
					c.recordTotal(after, "SYNs, the last stopped by the machine's own "+tt.name+"; less TCPRetransFail", kernel-failed)
				}
			})
		}
	}
}
