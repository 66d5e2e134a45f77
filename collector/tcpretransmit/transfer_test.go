// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// control calls a function with the connection's file descriptor.
func control(c syscall.RawConn, f func(fd int) error) error {
	var err error
	if outer := c.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// pair connects two namespaces, or one to itself.
func pair(t testing.TB, client, server *namespace, from, to netip.Addr) (near, far *net.TCPConn) {
	t.Helper()
	var listener net.Listener
	server.do(func() (err error) {
		var config net.ListenConfig
		config.SetMultipathTCP(false)
		listener, err = config.Listen(t.Context(), "tcp", netip.AddrPortFrom(to, 0).String())
		return err
	})
	defer listener.Close()
	client.do(func() error {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		c, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			return err
		}
		near = c.(*net.TCPConn)
		return nil
	})
	c, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, c.(*net.TCPConn)
}

// transfer sends so many bytes from near to far and one back, and ends both at
// once: nothing is sent again after it. It returns the segments that near has
// sent again, by its own account.
func transfer(near, far *net.TCPConn, bytes int) (again int, err error) {
	defer near.Close()
	defer far.Close()
	var group errgroup.Group
	group.Go(func() error {
		if n, err := io.CopyN(io.Discard, far, int64(bytes)); err != nil {
			return fmt.Errorf("receiving, after %d bytes: %w", n, err)
		}
		_, err := far.Write([]byte{1})
		return err
	})
	group.Go(func() error {
		if _, err := near.Write(make([]byte, bytes)); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		_, err := near.Read(make([]byte, 1))
		return err
	})
	if err := group.Wait(); err != nil {
		return 0, err
	}
	for _, c := range []*net.TCPConn{near, far} {
		if err := c.SetLinger(0); err != nil {
			return 0, err
		}
	}
	raw, err := near.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = control(raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		again = int(info.Total_retrans)
		return err
	})
	return again, err
}

// Data of which a receiver loses every twentieth packet: a retransmit sends
// several segments at once, each of which counts.
func TestLossyTransfer(t *testing.T) {
	for _, v := range variants {
		exactly(t, v.name, func(c *check) {
			n := c.newNamespace()
			stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
			if err != nil {
				c.Fatal("having the kernel count runs of programs:", err)
			}
			defer stats.Close()
			e := kerneltest.Run(c, kerneltest.OnlySuffix(Spec(), v.suffix))
			want := make(map[string]int)
			sum := 0
			for _, ends := range []struct{ from, to string }{
				{"10.5.0.2", "10.5.0.1"},
				{"fd05::2", "fd05::1"},
			} {
				from, to := netip.MustParseAddr(ends.from), netip.MustParseAddr(ends.to)
				near, far := pair(c, n, n, from, to)
				raw, err := far.SyscallConn()
				if err != nil {
					c.Fatal(err)
				}
				if err := control(raw, func(fd int) error { return drop(fd, all/20) }); err != nil {
					c.Fatal(err)
				}
				again, err := transfer(near, far, 16<<20)
				if err != nil {
					c.Fatal(err)
				}
				want[ends.to] = again
				sum += again
			}
			if sum != n.retransmitted() {
				c.Errorf("the sockets account for %d segments, the kernel for %d", sum, n.retransmitted())
			}
			after := kerneltest.Read(c, e)
			c.agree(after, want, n.retransmitted())
			if v == variants[0] {
				c.kind(after, "established", "16 MiB to a receiver who loses 5 %, over IPv4 and over IPv6", "the sender's TCP_INFO", sum)
				c.recordTotal(after, "16 MiB to a receiver who loses 5 %, over IPv4 and over IPv6", n.retransmitted())
				for destination, segments := range want {
					c.record(after, "16 MiB to a receiver who loses 5 %: "+destination, destination, "the sender's TCP_INFO", segments)
				}
			}
			runs := int(after.Value("kernscope_program_runs_total",
				"collector=tcp-retransmit", "program=tcpretransmit_segment"+v.suffix))
			c.Logf("%d segments in %d retransmits", sum, runs)
			if runs == 0 {
				c.Errorf("the program did not run")
			}
			if sum < 2*runs {
				c.Void("%d segments in %d retransmits: this would not find who counts retransmits", sum, runs)
			}
		})
	}
}

// The same over a cable that loses packets in both directions: TcpRetransSegs
// of each end is what is sent again to the other.
func TestNetem(t *testing.T) {
	kerneltest.VM(t, "needs the module sch_netem")
	for _, v := range variants {
		exactly(t, v.name, func(c *check) {
			a, b := c.newNamespace(), c.newNamespace()
			a.run(fmt.Sprintf("ip link add cable type veth peer name cable netns %d", b.Thread()))
			for n, host := range map[*namespace]int{a: 1, b: 2} {
				n.run(fmt.Sprintf("ip addr add 192.168.7.%d/24 dev cable", host))
				n.run(fmt.Sprintf("ip addr add 2001:db8::%d/64 dev cable nodad", host))
				n.run("ip link set cable up")
				// Each is told where the other is: if the answers to that
				// question were lost, a connection would find no route.
				n.run(fmt.Sprintf("ip link set cable address 02:00:00:00:00:%02d", host))
				for _, peer := range []string{"192.168.7.%d", "2001:db8::%d"} {
					n.run(fmt.Sprintf("ip neigh replace "+peer+" lladdr 02:00:00:00:00:%02d dev cable nud permanent", 3-host, 3-host))
				}
				n.run("tc qdisc add dev cable root netem loss 3%")
			}
			e := kerneltest.Run(c, kerneltest.OnlySuffix(Spec(), v.suffix))
			for _, ends := range [][2]string{{"192.168.7.1", "192.168.7.2"}, {"2001:db8::1", "2001:db8::2"}} {
				var group errgroup.Group
				for range 4 {
					near, far := pair(c, a, b, netip.MustParseAddr(ends[0]), netip.MustParseAddr(ends[1]))
					group.Go(func() error {
						_, err := transfer(near, far, 2<<20)
						return err
					})
				}
				if err := group.Wait(); err != nil {
					c.Fatal(err)
				}
			}
			after := kerneltest.Read(c, e)
			got := rows(c, after)
			for _, end := range []struct {
				name string
				*namespace
				peers []string
			}{{"a", a, []string{"192.168.7.2", "2001:db8::2"}}, {"b", b, []string{"192.168.7.1", "2001:db8::1"}}} {
				counted := 0
				for _, peer := range end.peers {
					c.Logf("%s to %-14s %5d segments", end.name, peer, got[peer])
					counted += got[peer]
				}
				kernel, failed := end.retransmitted(), end.failed()
				c.Logf("%s: TcpRetransSegs %d, of which failed %d", end.name, kernel, failed)
				if v == variants[0] {
					kerneltest.Accuracy(c, kerneltest.Row{
						Metric: byDestination, Source: "TcpRetransSegs of the network namespace",
						Workload: "a cable that loses 3 % both ways, 16 MiB one way: sent again by end " + end.name,
					}, counted, c.exact(kernel-failed))
				} else {
					kerneltest.Check(c, "sent again by end "+end.name, counted, c.exact(kernel-failed))
				}
			}
			if a.retransmitted() < 100 {
				c.Errorf("only %d segments were sent again: nothing was lost", a.retransmitted())
			}
			after.Lost(c)
		})
	}
}
