// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const (
	total         = "ebpf_tcp_retransmits_total"
	byDestination = "ebpf_tcp_retransmits_by_dest"
	byKind        = "ebpf_tcp_retransmits_by_kind_total"
)

// The programs for every kernel of the matrix, and those that kernels without
// type information of their own would take.
var variants = []struct{ name, suffix string }{
	{"typed", "_typed"},
	{"raw", "_raw"},
}

// check is an attempt at a comparison of exact numbers.
type check struct {
	*kerneltest.Attempt
	hidden   *kerneltest.Watch
	others   map[string]int // TcpRetransSegs of other networks, by network
	networks []*kerneltest.Network
}

// exactly runs a subtest whose numbers must be exact.
func exactly(t *testing.T, name string, try func(c *check)) {
	t.Run(name, func(t *testing.T) {
		kerneltest.Conclusive(t, 4, func(a *kerneltest.Attempt) {
			c := &check{Attempt: a, hidden: kerneltest.WatchHidden(a)}
			c.others = c.elsewhere()
			try(c)
		})
	})
}

// elsewhere is what the kernel has counted in networks that are not the test's.
func (c *check) elsewhere() map[string]int {
	c.Helper()
	return kerneltest.Elsewhere(c, "snmp", "Tcp", "RetransSegs", c.networks...)
}

// elsewhereSince is how many segments other networks have sent again in this
// attempt.
func (c *check) elsewhereSince() (segments int, text string) {
	c.Helper()
	for network, n := range c.elsewhere() {
		segments += n - c.others[network]
	}
	return segments, fmt.Sprintf("%d segments were sent again in other networks", segments)
}

// exact returns the number that the kernel has counted in our networks. If a
// timer interrupts a process that the kernel hides from programs, they see
// nothing of the burst that it sends, which may be all. Others may have added
// what was sent again elsewhere.
func (c *check) exact(want int) kerneltest.Truth[int] {
	c.Helper()
	more, others := c.elsewhereSince()
	hidden := c.hidden.Hidden()
	return kerneltest.Exactly(want).Beside(hidden.Events(want, want, c.Last), more, others+"; "+hidden.String())
}

// rows returns the segments sent again since the collector started, by destination.
// Their sum must be the total, and so must that of the kinds.
func rows(c *check, n kerneltest.Numbers) map[string]int {
	rows := make(map[string]int)
	sum, kinds := 0, 0
	for key, sample := range n {
		destination, ok := strings.CutPrefix(key, byDestination+"{destination=")
		if ok {
			destination, _, _ = strings.Cut(destination, ",kind=")
			rows[destination] += int(sample.Value)
			sum += int(sample.Value)
		}
		if strings.HasPrefix(key, byKind+"{") {
			kinds += int(sample.Value)
		}
	}
	// Both are read at about the same time.
	moved, others := c.elsewhereSince()
	whole := kerneltest.Exactly(int(n.Value(total))).Beside(moved, moved, others)
	kerneltest.Check(c, "segments of all destinations", sum, whole)
	kerneltest.Check(c, "segments of all kinds", kinds, whole)
	return rows
}

// within are the segments to addresses and networks inside of those. Other
// networks of the machine may have retransmits at any time.
func within(rows map[string]int, networks ...string) (segments int) {
	for destination, n := range rows {
		at, err := netip.ParseAddr(destination)
		if network, isNetwork := netip.ParsePrefix(destination); isNetwork == nil {
			at, err = network.Addr(), nil
		}
		if err != nil {
			continue // "other"
		}
		for _, network := range networks {
			if netip.MustParsePrefix(network).Contains(at) {
				segments += n
			}
		}
	}
	return segments
}

// lost are the segments that the collector says it lost for the reason.
func lost(n kerneltest.Numbers, reason string) int {
	return int(n.Value("kernscope_lost_events_total", "collector=tcp-retransmit", "reason="+reason))
}

// The tests' namespaces have no other addresses than these.
var ours = []string{"10.0.0.0/8", "fc00::/7"}

// agree compares with what is expected of each destination, and the sum with
// what the kernel counted in the namespace.
func (c *check) agree(n kerneltest.Numbers, want map[string]int, kernel int) {
	c.Helper()
	got := rows(c, n)
	for destination, segments := range want {
		c.Logf("%-24s expected %5d, counted %5d", destination, segments, got[destination])
		kerneltest.Check(c, destination, got[destination], c.exact(segments))
	}
	counted := within(got, ours...)
	c.Logf("%-24s kernel   %5d, counted %5d", "all", kernel, counted)
	kerneltest.Check(c, "all", counted, c.exact(kernel))
	n.Lost(c)
}

// recordTotal compares the total with the kernel's count of the namespace, for
// docs/ACCURACY.md. What other namespaces have sent again is told by destination.
func (c *check) recordTotal(n kerneltest.Numbers, workload string, kernel int) {
	c.Helper()
	elsewhere := 0
	got := rows(c, n)
	for _, segments := range got {
		elsewhere += segments
	}
	elsewhere -= within(got, ours...)
	kerneltest.Accuracy(c, kerneltest.Row{Metric: total, Workload: workload, Source: "TcpRetransSegs of the network namespace"},
		int(n.Value(total))-elsewhere, c.exact(kernel))
}

// record compares one destination, for docs/ACCURACY.md.
func (c *check) record(n kerneltest.Numbers, workload, destination, source string, want int) {
	c.Helper()
	got := 0.0
	for _, kind := range []string{"established", "syn", "syn_ack"} {
		got += n.Value(byDestination, "destination="+destination, "kind="+kind)
	}
	kerneltest.Accuracy(c, kerneltest.Row{Metric: byDestination, Workload: workload, Source: source}, int(got), c.exact(want))
}

// kind compares one kind, for docs/ACCURACY.md.
func (c *check) kind(n kerneltest.Numbers, kind, workload, source string, want int) {
	c.Helper()
	kerneltest.Accuracy(c, kerneltest.Row{Metric: byKind, Workload: kind + ": " + workload, Source: source},
		int(n.Value(byKind, "kind="+kind)), c.exact(want))
}
