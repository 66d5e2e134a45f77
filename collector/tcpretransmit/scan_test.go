// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// destinations of a scan.
const destinations = 10_000

// The most rows that there may be for SYNs, and as many for SYN-ACKs: what the
// maps can hold.
const (
	aloneAddresses = 512
	alonePrefixes  = 256
)

// One SYN is sent again to each of 10,000 destinations. There is a row for each
// as long as there is room, then one for each network; the rows of a network
// add up to its destinations. Once there is no room for networks either, the
// rest is in "other". The total is the kernel's all the while. What CPUs that
// began a generation at once added beyond the limit is in "gone" by the reading.
func TestScan(t *testing.T) {
	allowFiles(t, destinations+1000)
	for _, tt := range []struct {
		name   string
		family int
		at     func(i int) netip.Addr
		bits   int // of a network
		fits   bool
	}{
		{"IPv4 in 40 networks", unix.AF_INET, func(i int) netip.Addr { return ipv4(0x0ac80000 | uint32(i)) }, 24, true},
		{"IPv6 in 40 networks", unix.AF_INET6, func(i int) netip.Addr { return ipv6(uint64(i/250)<<8|1, uint64(i)) }, 56, true},
		{"IPv4 in 10,000 networks", unix.AF_INET, func(i int) netip.Addr { return ipv4(0x0a000001 | uint32(i)<<8) }, 24, false},
		{"IPv6 in 10,000 networks", unix.AF_INET6, func(i int) netip.Addr { return ipv6(uint64(i)<<8, 1) }, 56, false},
	} {
		exactly(t, tt.name, func(c *check) {
			n := c.newNamespace()
			silent := n.socket(tt.family)
			silent.drop(all)
			port := silent.listen()
			e := kerneltest.Run(c, Spec())
			want := make(map[netip.Prefix]int)
			var connections []*socket
			for i := range destinations {
				to := tt.at(i)
				s := n.socket(tt.family)
				s.connect(netip.AddrPortFrom(to, port), 1)
				connections = append(connections, s)
				want[netip.PrefixFrom(to, tt.bits).Masked()]++
			}
			for _, s := range connections {
				s.gaveUp()
			}

			if kernel := n.retransmitted(); kernel != destinations {
				c.Errorf("TcpRetransSegs is %d after %d connections", kernel, destinations)
			}
			answers := netip.MustParseAddr("10.5.0.2")
			answered := n.answered(answers)
			after := kerneltest.Read(c, e)
			got := rows(c, after)
			kerneltest.Check(c, "a peer who has answered", got[answers.String()], c.exact(answered))
			delete(got, answers.String())
			other, gone := got["other"], got["gone"]
			delete(got, "gone")
			if gone >= len(kerneltest.CPUs(c)) {
				c.Errorf("%d segments of rows beyond the limit", gone)
			}
			exact := c.exact(destinations)
			kerneltest.Accuracy(c, kerneltest.Row{
				Metric: byDestination, Workload: "a SYN to each of 10,000 addresses, " + tt.name, Source: "connections that timed out",
			}, within(got, ours...)+other+gone, exact)
			addresses, networks, folded, others := 0, 0, 0, 0
			counted := make(map[netip.Prefix]int)
			for destination, segments := range got {
				if within(map[string]int{destination: 1}, ours...) == 0 {
					others++ // this machine's own have rows as well
					continue
				}
				if a, err := netip.ParseAddr(destination); err == nil {
					addresses++
					counted[netip.PrefixFrom(a, tt.bits).Masked()] += segments
				} else if p, err := netip.ParsePrefix(destination); err == nil {
					networks++
					counted[p] += segments
					folded += segments
				}
			}
			c.Logf("%d addresses, %d networks with %d segments, %d segments in other, %d in gone", addresses, networks, folded, other, gone)
			if addresses > aloneAddresses || addresses < aloneAddresses-others || networks > alonePrefixes {
				c.Errorf("%d addresses and %d networks beside %d of others, want %d and at most %d", addresses, networks, others, aloneAddresses, alonePrefixes)
			}
			if tt.fits != (other == 0) || !tt.fits && networks < alonePrefixes-others {
				c.Errorf("%d segments in other, with %d networks beside %d of others", other, networks, others)
			}
			for p, segments := range want {
				if n := counted[p]; tt.fits || n != 0 {
					exact.Least, exact.Most = max(0, segments-gone), segments
					kerneltest.Check(c, p.String(), n, exact)
				}
			}
			if n := lost(after, "addresses_full"); n < folded || n > folded+gone {
				c.Errorf("%d segments lost to their networks, which have %d, and %d are gone", n, folded, gone)
			}
			if n := lost(after, "prefixes_full"); n != other {
				c.Errorf("%d segments lost to other, which has %d", n, other)
			}
		})
	}
}

func ipv4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, a)))
}

// ipv6 is an address in fd00::/8 by its other bits.
func ipv6(high, low uint64) netip.Addr {
	a := binary.BigEndian.AppendUint64(nil, 0xfd<<56|high)
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(a, low)))
}

// allowFiles allows this process so many files until the test ends.
func allowFiles(t *testing.T, n uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	more := unix.Rlimit{Cur: max(before.Cur, n), Max: max(before.Max, n)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &more); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}
