// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

const group = "ebpf_system"

// records are for dashboards of the user's own.
func records() []collector.Record {
	return []collector.Record{{
		Group: group, Name: "instance:ebpf_sched_runqueue_latency_seconds:p99_5m",
		Expr: `{{quantile 0.99 "ebpf_sched_runqueue_latency" "5m" "instance"}}`,
	}}
}

func alerts() []collector.Alert {
	return []collector.Alert{
		alert("SchedulerLatencyHigh", "warning", 10*time.Millisecond, 5*time.Minute),
		alert("SchedulerLatencyCritical", "critical", 50*time.Millisecond, 2*time.Minute),
	}
}

// alert says that one of a hundred waits for a CPU is longer than a limit.
func alert(name, severity string, limit, lasts time.Duration) collector.Alert {
	waits := func(latency time.Duration) []collector.Series {
		return []collector.Series{{Name: `ebpf_sched_runqueue_latency{job="kernscope",instance="db1"}`, Latency: latency}}
	}
	return collector.Alert{
		Group: group, Name: name, For: lasts, Severity: severity,
		Slow: &collector.Slow{
			Metric: "ebpf_sched_runqueue_latency", Quantile: 0.99, Limit: limit,
			Window: 5 * time.Minute, By: []string{"instance"},
		},
		Summary:     "Tasks on {{ $labels.instance }} wait long for a CPU",
		Description: "One of a hundred waits for a CPU on {{ $labels.instance }} was longer than {{ $value | humanizeDuration }} in the last 5 minutes.",
		Runbook: "See who uses the CPUs (top, pidstat) and how many tasks are ready (vmstat, column r); " +
			"whether a hypervisor takes time away (st in top). Waits for the next period of a CPU quota are apart, " +
			"in ebpf_sched_throttled_latency_microseconds (_seconds with --units=seconds): raise the cgroup's limit (nr_throttled in its cpu.stat, cpu.max). Before Linux 6.18, a part of them counts here.",
		Fires:  waits(limit * 2),
		Quiet:  waits(limit / 2),
		Labels: map[string]string{"instance": "db1"},
	}
}
