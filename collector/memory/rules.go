// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

// alerts take the maximum of a host, not the sum: the same counter may be
// scraped from a textfile too.
func alerts() []collector.Alert {
	faults := func(perSecond float64) []collector.Series {
		return []collector.Series{
			{Name: majors + `{job="kernscope",instance="db1"}`, PerSecond: perSecond},
			{Name: majors + `{job="node",instance="db1"}`, PerSecond: perSecond},
		}
	}
	return []collector.Alert{{
		Group: "ebpf_system", Name: "MajorPageFaultsHigh", For: 5 * time.Minute, Severity: "warning",
		Expr:        "max by (instance) (rate(" + majors + "[5m])) > 100",
		Summary:     "Programs on {{ $labels.instance }} wait for pages from disk",
		Description: `{{ $value | printf "%.0f" }} major page faults a second on {{ $labels.instance }} in the last 5 minutes.`,
		Runbook: "See whether memory is short and the host swaps (vmstat, columns si and so; memory.pressure), and which process faults " +
			"(pidstat -r, column majflt/s); the start of a large program does it for a moment.",
		Fires:  faults(120),
		Quiet:  faults(80),
		Labels: map[string]string{"instance": "db1"},
		Value:  120,
	}}
}
