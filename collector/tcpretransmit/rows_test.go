// SPDX-License-Identifier: Apache-2.0

package tcpretransmit

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
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

// only leaves of every hook the alternatives whose names end so.
func only(spec collector.Spec, suffix string) collector.Spec {
	spec.Hooks = slices.Clone(spec.Hooks)
	for i, h := range spec.Hooks {
		spec.Hooks[i].Programs = slices.DeleteFunc(slices.Clone(h.Programs), func(program string) bool {
			return !strings.HasSuffix(program, suffix)
		})
	}
	return spec
}

// rows are the segments sent again since the collector started, by destination.
// Their sum must be the total.
func rows(t *testing.T, n kerneltest.Numbers) map[string]int {
	t.Helper()
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
		t.Errorf("destinations add up to %d segments, the total is %d", sum, all)
	}
	return rows
}

// within are the segments to addresses and networks inside of those. Other
// networks of the machine may have retransmits at any time.
func within(t *testing.T, rows map[string]int, networks ...string) (segments int) {
	t.Helper()
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
