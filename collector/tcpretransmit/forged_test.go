// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// forged are addresses of nobody: packets to them leave the namespace and are
// never seen again.
var forged = map[int]struct {
	network  string
	listener netip.Addr
	at       func(i int) netip.Addr // each in a network of its own
}{
	unix.AF_INET: {"100.64.0.0/10", netip.MustParseAddr("10.8.0.1"), func(i int) netip.Addr { return ipv4(0x64400001 | uint32(i)<<8) }},
	unix.AF_INET6: {"2001:db8::/32", netip.MustParseAddr("fd08::1"), func(i int) netip.Addr {
		a := binary.BigEndian.AppendUint64(nil, 0x20010db8<<32|uint64(i)<<8)
		return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(a, 1)))
	}},
}

// leadNowhere makes routes to the forged addresses.
func (n *namespace) leadNowhere() {
	n.t.Helper()
	n.run("ip link add nowhere type veth peer name nobody")
	n.run("ip link set nobody up")
	n.run("ip link set nowhere up arp off")
	for _, f := range forged {
		n.run("ip route add " + f.network + " dev nowhere")
	}
	for _, device := range []string{"all", "lo"} {
		n.must(n.Set("ipv4/conf/"+device+"/rp_filter", "0"))
	}
}

// forge sends SYNs in the name of others, each with data if there is any.
func (n *namespace) forge(to netip.AddrPort, data []byte, from ...netip.AddrPort) {
	n.t.Helper()
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	n.do(func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		s := socket{family: family}
		for _, from := range from {
			if err := unix.Sendto(fd, packet(from, to, data), 0, s.name(netip.AddrPortFrom(to.Addr(), 0))); err != nil {
				return err
			}
		}
		return nil
	})
}

// packet returns a SYN with its IP header.
func packet(from, to netip.AddrPort, data []byte) []byte {
	const syn = 5<<12 | 2
	source, destination := from.Addr().AsSlice(), to.Addr().AsSlice()
	tcp := binary.BigEndian.AppendUint16(nil, from.Port())
	tcp = binary.BigEndian.AppendUint16(tcp, to.Port())
	tcp = append(tcp, 0, 0, 0, 1, 0, 0, 0, 0) // sequence numbers
	tcp = binary.BigEndian.AppendUint16(tcp, syn)
	tcp = append(tcp, 0xff, 0xff, 0, 0, 0, 0) // window, checksum, urgent
	tcp = append(tcp, data...)
	length := uint16(len(tcp))
	pseudo := slices.Concat(source, destination, []byte{0, unix.IPPROTO_TCP}, binary.BigEndian.AppendUint16(nil, length), tcp)
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo))
	if from.Addr().Is6() {
		header := binary.BigEndian.AppendUint16([]byte{6 << 4, 0, 0, 0}, length)
		return slices.Concat(header, []byte{unix.IPPROTO_TCP, 64}, source, destination, tcp)
	}
	header := binary.BigEndian.AppendUint16([]byte{4<<4 | 5, 0}, 20+length)
	header = append(header, 0, 0, 0, 0, 64, unix.IPPROTO_TCP, 0, 0) // the kernel fills in the checksum
	return slices.Concat(header, source, destination, tcp)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		sum += uint32(c) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// answered has data sent again to a peer who has answered, and returns how many
// segments.
func (n *namespace) answered(peer netip.Addr) int {
	n.t.Helper()
	near, far := pair(n.t, n, n, netip.MustParseAddr("10.5.0.1"), peer)
	for _, end := range []*net.TCPConn{near, far} {
		n.must(end.SetLinger(0)) // nothing is sent again after the end
	}
	raw, err := far.SyscallConn()
	n.must(err)
	n.must(control(raw, func(fd int) error { return drop(fd, all) }))
	before := n.retransmitted()
	_, err = near.Write([]byte{1})
	n.must(err)
	n.until("data is sent again", func() bool { return n.retransmitted() > before })
	n.must(errors.Join(near.Close(), far.Close()))
	return n.retransmitted() - before
}

// unanswered has a SYN sent again, once, to a peer who does not answer.
func (n *namespace) unanswered(peer netip.Addr) {
	n.t.Helper()
	silent := n.socket(unix.AF_INET)
	silent.drop(all)
	s := n.socket(unix.AF_INET)
	s.connect(netip.AddrPortFrom(peer, silent.listen()), 1)
	s.gaveUp()
}

// SYNs in the names of many: the SYN-ACKs that are sent again to them take no
// row that others need, nor more rows than there are for SYN-ACKs.
func TestForged(t *testing.T) {
	const strangers = 1500
	for _, tt := range []struct {
		name   string
		family int
	}{{"IPv4", unix.AF_INET}, {"IPv6", unix.AF_INET6}} {
		exactly(t, tt.name, func(c *check) {
			n := c.newNamespace()
			n.leadNowhere()
			n.must(n.Set("ipv4/tcp_synack_retries", "1"))
			// The kernel drops SYNs of strangers if three quarters of this wait.
			n.must(n.Set("ipv4/tcp_max_syn_backlog", "4096"))
			e := kerneltest.Run(c, Spec())
			listener := n.socket(tt.family)
			port := listener.listen()
			// The kernel saves on SYN-ACKs if more than half of this waits.
			n.must(unix.Listen(listener.fd, 4096))
			f := forged[tt.family]
			var from []netip.AddrPort
			for i := range strangers {
				from = append(from, netip.AddrPortFrom(f.at(i), 4000))
			}
			// The link refuses a thousand packets at once.
			sent := 0
			for some := range slices.Chunk(from, 500) {
				n.forge(netip.AddrPortFrom(f.listener, port), nil, some...)
				sent += len(some)
				n.until("SYN-ACKs are sent again", func() bool { return n.retransmitted() >= sent })
			}
			answers, silent := netip.MustParseAddr("10.5.0.2"), netip.MustParseAddr("10.6.0.1")
			segments := n.answered(answers)
			n.unanswered(silent)

			after := kerneltest.Read(c, e)
			got := rows(c, after)
			kerneltest.Check(c, "a peer who has answered", got[answers.String()], c.exact(segments))
			kerneltest.Check(c, "a peer who does not answer", got[silent.String()], c.exact(1))
			addresses, networks := 0, 0
			for destination := range got {
				if within(map[string]int{destination: 1}, f.network) == 0 {
					continue
				}
				if _, err := netip.ParseAddr(destination); err == nil {
					addresses++
				} else {
					networks++
				}
			}
			if addresses != aloneAddresses || networks != alonePrefixes {
				c.Errorf("%d addresses and %d networks, want %d and %d", addresses, networks, aloneAddresses, alonePrefixes)
			}
			// A row beyond the limit is gone by the reading: see TestScan.
			kerneltest.Check(c, "SYN-ACKs by destination", within(got, f.network)+got["other"]+got["gone"], c.exact(strangers))
			c.kind(after, "syn_ack", "SYNs in the names of 1,500, "+tt.name, "SYNs sent", strangers)

			// When it has been read, the table has room for who comes then.
			latest := f.at(strangers)
			n.forge(netip.AddrPortFrom(f.listener, port), nil, netip.AddrPortFrom(latest, 4000))
			n.until("a SYN-ACK is sent again", func() bool { return n.retransmitted() > sent+segments+1 })
			later := kerneltest.Read(c, e)
			got = rows(c, later)
			kerneltest.Check(c, "a peer that comes after them", got[latest.String()], c.exact(1))
			kerneltest.Check(c, "all SYN-ACKs", int(later.Value(byKind, "kind=syn_ack")), c.exact(strangers+1))
			if got["gone"] == 0 && got["other"] == 0 {
				c.Error("every stranger has a row: the test shows nothing")
			}
		})
	}
}

// SYN-ACKs that do not come from a listener's list: of Fast Open, where a
// stranger's SYN makes a socket that even sends data, and of a socket that was
// asked while it asked itself.
func TestOtherSynAcks(t *testing.T) {
	for _, v := range variants {
		exactly(t, v.name+"/Fast Open", func(c *check) {
			n := c.newNamespace()
			n.leadNowhere()
			n.must(n.Set("ipv4/tcp_fastopen", "514")) // for servers, without a cookie
			e := kerneltest.Run(c, kerneltest.OnlySuffix(Spec(), v.suffix))
			listener := n.socket(unix.AF_INET)
			port := listener.listen()
			listener.must("allowing Fast Open", unix.SetsockoptInt(listener.fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16))
			f := forged[unix.AF_INET]
			n.forge(netip.AddrPortFrom(f.listener, port), []byte("hello"), netip.AddrPortFrom(f.at(0), 4000))
			fd, _, err := unix.Accept(listener.fd)
			listener.must("accepting a connection before it is one", err)
			child := &socket{t: c, fd: fd, family: unix.AF_INET}
			_, err = unix.Write(fd, make([]byte, 1000))
			child.must("sending", err)
			n.until("SYN-ACKs are sent again", func() bool { return n.retransmitted() >= 2 })
			child.close()
			c.synAcks(kerneltest.Read(c, e), f.at(0), n.retransmitted())
		})
		exactly(t, v.name+"/both ask", func(c *check) {
			n := c.newNamespace()
			n.leadNowhere()
			e := kerneltest.Run(c, kerneltest.OnlySuffix(Spec(), v.suffix))
			f := forged[unix.AF_INET]
			peer := netip.AddrPortFrom(f.at(0), 4000)
			s := n.socket(unix.AF_INET)
			s.bind(f.listener)
			s.connect(peer, 6)
			own, err := unix.Getsockname(s.fd)
			s.must("asking for the port", err)
			n.forge(netip.AddrPortFrom(f.listener, uint16(own.(*unix.SockaddrInet4).Port)), nil, peer)
			if s.attempts() > 0 {
				c.Void("the SYN was sent again before the peer's")
			}
			n.until("SYN-ACKs are sent again", func() bool { return n.retransmitted() >= 2 })
			s.close()
			c.synAcks(kerneltest.Read(c, e), f.at(0), n.retransmitted())
		})
	}
}

// synAcks checks that all of the segments were SYN-ACKs to the address.
func (c *check) synAcks(n kerneltest.Numbers, to netip.Addr, kernel int) {
	c.Helper()
	kerneltest.Check(c, to.String(), rows(c, n)[to.String()], c.exact(kernel))
	kerneltest.Check(c, "SYN-ACKs", int(n.Value(byKind, "kind=syn_ack")), c.exact(kernel))
	n.Lost(c)
}
