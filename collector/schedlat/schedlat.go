// SPDX-License-Identifier: Apache-2.0

// Package schedlat measures run-queue latency: how long tasks were ready to
// run before they ran. The README beside it says what is counted and what is
// not.
package schedlat

import "github.com/kernscope/kernscope/collector"

// Spec describes the collector.
func Spec() collector.Spec {
	return collector.Spec{
		Name: "schedlat",
		Help: "Run-queue latency, and waits for a CPU quota",
		Port: 9107,
		Load: loadSchedlat,
		Hooks: []collector.Hook{{
			Name: "context switch",
			Ways: collector.By("schedlat_switch_storage", "schedlat_switch_typed", "schedlat_switch_raw"),
		}},
		Metrics: []collector.Metric{{
			Name: "ebpf_sched_runqueue_latency", Kind: collector.Histogram, Map: "schedlat_delay", Field: "queued",
			Help: "Time a task was ready to run before it ran, one observation for each stint on a CPU, made as the stint ends.",
		}, {
			Name: "ebpf_sched_throttled_latency", Kind: collector.Histogram, Map: "schedlat_delay", Field: "throttled",
			Help: "The same, of tasks that had left their CPU because the CPU quota of their cgroup was used up.",
		}},
		Records: records(),
		Alerts:  alerts(),
		Panels:  panels(),
	}
}
