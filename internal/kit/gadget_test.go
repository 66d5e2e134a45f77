// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

// gadget returns a made-up Spec that has one of everything: what the tests say
// of it holds for every collector.
func gadget() collector.Spec {
	return collector.Spec{
		Name: "gad-get", Port: 9199, Help: "How gadgets turn.",
		Needs: []collector.Need{
			{Why: "It hears.", Capabilities: []string{"CAP_SYSLOG"}},
			{Why: "It asks in every network.", Held: true, Capabilities: []string{"CAP_NET_ADMIN"}, Sockets: []string{"AF_NETLINK", "AF_PACKET"}, Namespaces: []string{"net", "user"}},
			{Why: "It opens.", Devices: []string{"/dev/null", "/dev/zero"}},
		},
		Options: []collector.Option{
			{Name: "details", Help: "Count details, too."},
			{Name: "depth", Help: "How deep to look.", Default: 3},
			{Name: "slow", Help: "What counts as slow.", Default: 10 * time.Millisecond, Live: true},
			{Name: "model", Help: "Which model it is.", Default: "A"},
			{Name: "parts", Help: "Which parts to count.", Default: []string{"wheel", "axle"}},
		},
		Tables: []collector.Table{{Map: "gadget_turns", Labels: []collector.Label{{Name: "device", Field: "device"}, {Name: "part", Field: "part"}}}},
		Metrics: []collector.Metric{
			{Name: "ebpf_gadget_details_total", Kind: collector.Counter, Map: "gadget_turns", Field: "details", When: "details"},
			{Name: "ebpf_gadget_turns_total", Kind: collector.Counter, Map: "gadget_turns", Field: "turns"},
			{Name: "ebpf_gadget_slips_total", Kind: collector.Counter, Map: "gadget_turns", Field: "slips"},
			{Name: "ebpf_gadget_turn", Kind: collector.Histogram, Map: "gadget_turns", Field: "turn"},
			{Name: "ebpf_gadget_load", Kind: collector.Gauge},
			{Name: "ebpf_gadget_age", Kind: collector.Gauge, Duration: true, Labels: []collector.Label{{Name: "interface"}}},
			{Name: "ebpf_gadget_slip_ratio", Kind: collector.Ratio, Part: "ebpf_gadget_slips_total", Whole: []string{"ebpf_gadget_turns_total"}, Window: time.Minute},
		},
		Records: []collector.Record{{
			Group: "ebpf_gadget", Name: "instance:ebpf_gadget_slips:ratio_rate5m",
			Expr: `sum by (instance) (rate(ebpf_gadget_slips_total[5m])) / sum by (instance) (rate(ebpf_gadget_turns_total[5m]))`,
		}},
		Alerts: gadgetAlerts(),
		Panels: gadgetPanels(),
	}
}

// stowaway returns a Spec without a port, which needs what the gadget does not.
func stowaway() collector.Spec {
	return collector.Spec{Name: "stow-away", Needs: []collector.Need{{Why: "It hides.", Capabilities: []string{"CAP_SYS_PTRACE"}}}}
}

func gadgetAlerts() []collector.Alert {
	turns := func(slips, all float64) []collector.Series {
		return []collector.Series{
			{Name: `ebpf_gadget_slips_total{instance="db1",device="a"}`, PerSecond: slips},
			{Name: `ebpf_gadget_turns_total{instance="db1",device="a"}`, PerSecond: all},
		}
	}
	takes := func(latency time.Duration) []collector.Series {
		return []collector.Series{{Name: `ebpf_gadget_turn{instance="db1",device="a"}`, Latency: latency}, {Name: `ebpf_gadget_turn{instance="db1",device="b"}`, Latency: 20 * time.Millisecond}}
	}
	age := func(seconds float64) []collector.Series {
		return []collector.Series{{Name: `ebpf_gadget_load{instance="db1"}`, Value: seconds}}
	}
	return []collector.Alert{
		{
			Group: "ebpf_gadget", Name: "GadgetSlips", For: time.Minute, Severity: "critical",
			Expr: "instance:ebpf_gadget_slips:ratio_rate5m > 0.1\n" +
				"and sum by (instance) (rate(ebpf_gadget_turns_total[5m])) >= 10",
			Summary:     "The gadget of {{ $labels.instance }} slips",
			Description: "{{ $value | humanizePercentage }} of its turns are none.",
			Runbook:     "Look at it.",
			Fires:       turns(20, 100), Quiet: turns(5, 100), Idle: turns(1, 2),
			Labels: map[string]string{"instance": "db1"}, Value: 0.2,
		},
		{
			Group: "ebpf_gadget", Name: "GadgetSlow", For: 5 * time.Minute, Severity: "warning",
			Slow: &collector.Slow{
				Metric: `ebpf_gadget_turn{device!="b"}`, Quantile: 0.99, Limit: 10 * time.Millisecond,
				Window: 5 * time.Minute, By: []string{"instance", "device"},
			},
			Summary:     "Device {{ $labels.device }} of {{ $labels.instance }} is slow",
			Description: "One of a hundred turns took longer than {{ $value | humanizeDuration }}.",
			Runbook:     "Look at it.",
			Fires:       takes(20 * time.Millisecond), Quiet: takes(3 * time.Millisecond),
			Labels: map[string]string{"instance": "db1", "device": "a"},
		},
		{
			Group: "ebpf_gadget", Name: "GadgetLoaded", Severity: "warning",
			Expr:        `max by (instance) (ebpf_gadget_load) > 300`,
			Summary:     "The gadget of {{ $labels.instance }} is loaded",
			Description: `With {{ $value | printf "%.0f" }}.`,
			Runbook:     "Look at it.",
			Fires:       age(330), Quiet: age(120),
			Labels: map[string]string{"instance": "db1"}, Value: 330,
		},
	}
}

// gadgetPanels returns a panel of each type.
func gadgetPanels() []collector.Panel {
	const turns = `sum by (instance, device) (rate(ebpf_gadget_turns_total{part="wheel"}[$__rate_interval]))`
	limits := []collector.Threshold{{From: 0, Color: "green"}, {From: 0.5, Color: "yellow"}, {From: 0.9, Color: "red"}}
	panels := []collector.Panel{
		{
			Type: "heatmap", Unit: "short", Title: "Turns",
			Queries: []collector.Query{{Expr: `{{buckets "ebpf_gadget_turn" "$__rate_interval"}}`, Legend: "{{le}}"}},
		},
		{
			Type: "timeseries", Unit: "s", Title: "Turn p99", Log: true, Stacked: true, Thresholds: limits,
			Queries: []collector.Query{
				{Expr: `{{quantile 0.99 "ebpf_gadget_turn" "$__rate_interval" "instance" "device"}}`, Legend: "{{device}} p99"},
				{Expr: turns, Legend: "{{device}}", Unit: "ops"},
			},
		},
		{
			Type: "stat", Unit: "percentunit", Title: "Slips", Thresholds: limits,
			Queries: []collector.Query{{Expr: `max by (instance) (ebpf_gadget_slip_ratio)`, Legend: "{{instance}}"}},
		},
		{
			Type: "gauge", Unit: "short", Title: "Load",
			Queries: []collector.Query{{Expr: `max by (instance) (ebpf_gadget_load)`, Legend: "{{instance}}"}},
		},
		{
			Type: "bargauge", Unit: "s", Title: "Age",
			Queries: []collector.Query{{Expr: `max by (interface) ({{seconds "ebpf_gadget_age"}})`, Legend: "{{interface}}"}},
		},
		{
			Type: "table", Unit: "ops", Title: "Turns by device",
			Queries: []collector.Query{{Expr: `sum by (device) (rate(ebpf_gadget_turns_total[$__range]))`, Legend: "Turns"}},
		},
	}
	for i := range panels {
		panels[i].Row, panels[i].Place = collector.RowNetwork, i+1
		panels[i].Description = "What the " + panels[i].Type + " shows."
	}
	panels[5].Row = collector.RowSystem
	return panels
}
