// SPDX-License-Identifier: Apache-2.0

// Package enginetest is a collector for tests of the engine, with programs that
// fail in every way.
package enginetest

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

// Names of the metrics.
const (
	Calls  = "enginetest_calls_total"
	Latest = "enginetest_latest"
	Exits  = "enginetest_exits_total"
)

// Spec counts calls of getppid by the process that the option "process" says, if
// their first argument is the live option "least" at least, in nanoseconds.
func Spec() collector.Spec {
	return collector.Spec{
		Name: "enginetest", Help: "Calls of getppid",
		Load:  loadEnginetest,
		Hooks: []collector.Hook{{Name: "call", Ways: collector.By("enginetest_typed", "enginetest_raw")}},
		Options: []collector.Option{
			{Name: "process", Help: "The process.", Default: 0},
			{Name: "least", Help: "The least argument.", Default: time.Duration(0), Live: true},
		},
		Variables: []collector.Variable{
			{Name: "cfg_chosen", Syscalls: map[string]uint8{"getppid": 1}},
			{Name: "cfg_process", Option: "process"},
			{Name: "enginetest_least", Option: "least"},
		},
		Metrics: []collector.Metric{
			{Name: Calls, Help: "Calls.", Kind: collector.Counter, Map: "enginetest_counts", Field: "calls"},
			{Name: Latest, Help: "The latest argument.", Kind: collector.Gauge, Duration: true, Map: "enginetest_counts", Field: "latest_ns"},
		},
	}
}

// WithExits adds a hook with these ways, and the metric that only it serves.
func WithExits(optional bool, programs ...string) collector.Spec {
	s := Spec()
	s.Hooks = append(s.Hooks, collector.Hook{
		Name: "exit", Ways: collector.By(programs...), Optional: optional, Without: "exits are not counted",
	})
	s.Metrics = append(s.Metrics, collector.Metric{Name: Exits, Help: "Exits.", Kind: collector.Counter, Map: "enginetest_exits"})
	return s
}
