// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/privilege"
)

// What the collectors take later is held, with the reason, unless the user
// forbids it: then the log says what that costs.
func TestHolding(t *testing.T) {
	specs := []collector.Spec{
		{Name: "kernel", Needs: []collector.Need{{Capabilities: []string{"CAP_SYSLOG"}, Why: "At the start only."}}},
		{Name: "tunnel", Module: &collector.Module{Name: "wireguard"}, Needs: []collector.Need{{Capabilities: []string{"CAP_SYS_ADMIN"}, Why: "It attaches."}}},
		{Name: "waiter", Load: func() (*ebpf.CollectionSpec, error) { return nil, nil }},
		{Name: "asker", Needs: []collector.Need{{Capabilities: []string{"CAP_NET_ADMIN"}, Held: true, Why: "The kernel asks for it at every read."}}},
	}
	states := make([]engine.State, len(specs))
	states[2].Status = engine.Waiting
	var got []string
	for _, need := range holding(specs, states, "", nil, nil).Hold {
		name, _, _ := strings.Cut(need.Reason, " ")
		got = append(got, need.Capability+" "+strings.TrimSuffix(name, ":"))
		if need.Cost == "" {
			t.Errorf("%+v does not say what it costs to be without", need)
		}
	}
	if want := "[CAP_BPF tunnel CAP_PERFMON tunnel CAP_SYS_ADMIN tunnel CAP_BPF waiter CAP_PERFMON waiter CAP_NET_ADMIN asker]"; fmt.Sprint(got) != want {
		t.Errorf("held are %v, want %s", got, want)
	}
	if p := holding(specs, states, "none", nil, nil); p.Forbid == "" {
		t.Error("none does not forbid to hold")
	}
	if p := holding(builtin.Collectors(), make([]engine.State, len(builtin.Collectors())), "", nil, nil); len(p.Hold) > 0 {
		t.Errorf("%v is held, and no built-in collector takes anything later", p.Hold)
	}
}

func TestCapabilitiesAreSaid(t *testing.T) {
	left := privilege.Outcome{
		Held:   []privilege.Held{{Name: "cap_bpf", Reason: "tunnel attaches"}, {Name: "cap_bpf", Reason: "asker asks"}},
		Denied: []privilege.Denied{{Need: privilege.Need{Capability: "CAP_PERFMON", Reason: "tunnel attaches", Cost: "tunnel counts nothing"}, Why: "forbidden"}},
	}
	var log strings.Builder
	logCapabilities(slog.New(slog.NewTextHandler(&log, nil)), left)
	for _, line := range []string{
		`level=INFO msg="Holding a capability for moments" capability=cap_bpf reason="tunnel attaches"`,
		`level=WARN msg="Not holding a capability" capability=CAP_PERFMON for="tunnel attaches" reason=forbidden cost="tunnel counts nothing"`,
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("no line %s in\n%s", line, &log)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(heldCapabilities(left.Held))
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "kernscope_held_capability" || len(families[0].Metric) != 2 {
		t.Errorf("%v, %v", families, err)
	}
}
