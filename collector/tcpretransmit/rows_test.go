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
)

// The programs for every kernel of the matrix, and those that kernels without
// type information of their own would take.
var variants = []struct{ name, suffix string }{
	{"typed", "_typed"},
	{"raw", "_raw"},
}

// check is a test that collects what is wrong with a try.
type check struct {
	testing.TB
	complaints []string
}

func (c *check) Errorf(format string, args ...any) {
	c.complaints = append(c.complaints, fmt.Sprintf(format, args...))
}

// exactly runs a subtest whose numbers must be exact. Kernels of sandboxes may
// hide a process of their own from programs: what a timer does while it
// interrupts that one is neither shown to them nor counted as missed. So there
// is more than one try, but not in the matrix, whose kernels hide nothing.
func exactly(t *testing.T, name string, try func(t *testing.T, c *check)) {
	t.Run(name, func(t *testing.T) {
		tries := 4
		if kerneltest.Kernel() != "" {
			tries = 1
		}
		var c check
		for range tries {
			t.Run("try", func(t *testing.T) {
				c = check{TB: t}
				try(t, &c)
			})
			if t.Failed() || len(c.complaints) == 0 {
				return
			}
			t.Logf("not exact: %s", strings.Join(c.complaints, "\n"))
		}
		t.Fail()
	})
}

// rows are the segments sent again since the collector started, by destination.
// Their sum must be the total.
func rows(c *check, n kerneltest.Numbers) map[string]int {
	rows := make(map[string]int)
	sum := 0
	for key, sample := range n {
		destination, ok := strings.CutPrefix(key, byDestination+"{destination=")
		if ok {
			rows[strings.TrimSuffix(destination, "}")] = int(sample.Value)
			sum += int(sample.Value)
		}
	}
	if all := int(n.Value(total)); sum != all {
		c.Errorf("destinations add up to %d segments, the total is %d", sum, all)
	}
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
func (c *check) agree(t *testing.T, n kerneltest.Numbers, want map[string]int, kernel int) {
	t.Helper()
	got := rows(c, n)
	for destination, segments := range want {
		t.Logf("%-24s expected %5d, counted %5d", destination, segments, got[destination])
		if got[destination] != segments {
			c.Errorf("%s: counted %d segments, want %d", destination, got[destination], segments)
		}
	}
	counted := within(got, ours...)
	t.Logf("%-24s kernel   %5d, counted %5d", "all", kernel, counted)
	if counted != kernel {
		c.Errorf("counted %d segments, the kernel %d", counted, kernel)
	}
	n.Lost(t)
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
		int(n.Value(total))-elsewhere, kerneltest.Exactly(kernel))
}

// record compares one destination, for docs/ACCURACY.md.
func (c *check) record(n kerneltest.Numbers, workload, destination, source string, want int) {
	c.Helper()
	kerneltest.Accuracy(c, kerneltest.Row{Metric: byDestination, Workload: workload, Source: source},
		int(n.Value(byDestination, "destination="+destination)), kerneltest.Exactly(want))
}
