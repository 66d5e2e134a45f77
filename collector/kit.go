// SPDX-License-Identifier: Apache-2.0

package collector

import "time"

// What is said of a collector to Prometheus and Grafana. PromQL is written
// without the unit of latencies, which is the user's choice, and serves classic
// and native histograms alike. For both it is a text/template with two
// functions:
//
//	{{quantile 0.99 "ebpf_disk_io_latency" "5m" "instance" "device"}}
//
// is the quantile, always in seconds, of the rate over 5 minutes of a
// [Histogram], one for each instance and device. The name may have matchers:
// `ebpf_disk_io_latency{operation="read"}`.
//
//	{{name "ebpf_disk_io_latency"}}
//
// is the name of a [Histogram] as it is served, with its unit.

// Capability is a privilege that a collector needs.
type Capability struct {
	// Name as in capabilities(7): "CAP_SYS_ADMIN".
	Name string
	// Why says what for and where.
	Why string
}

// Record is a recording rule: an expression that Prometheus evaluates once, for
// all alerts and dashboards of a fleet that ask for it.
type Record struct {
	// Group of rules it belongs to; records come before alerts.
	Group string
	// Name as Prometheus recommends, level:metric:operations.
	Name string
	Expr string
}

// Alert is an alerting rule.
type Alert struct {
	Group string
	Name  string
	// Expr has one result for each alert.
	Expr     string
	For      time.Duration
	Severity string // "warning" or "critical"
	// Summary and Description may use Prometheus' own templates: {{ $labels.device
	// }}, {{ $value | humanizeDuration }} (of seconds).
	Summary     string
	Description string
	// Runbook says what to look at first.
	Runbook string
	// Fires and Quiet are series, one minute apart, that make and do not make
	// the alert fire: the rules' tests are made of them.
	Fires []Series
	Quiet []Series
}

// Series is input for a test of rules.
type Series struct {
	// Name with labels, without the unit of latencies.
	Name string
	// Values in promtool's notation; "" if Latency is set.
	Values string
	// Latency makes the series a [Histogram] to which observations of this
	// latency come all the time.
	Latency time.Duration
}

// Row is a row of the dashboard.
type Row string

// The rows, in the dashboard's order.
const (
	RowSystem      Row = "System health"
	RowZFS         Row = "ZFS"
	RowNetwork     Row = "Network"
	RowApplication Row = "Application"
)

// Rows are all rows, from the top.
func Rows() []Row { return []Row{RowSystem, RowZFS, RowNetwork, RowApplication} }

// Panel is one panel of the dashboard.
type Panel struct {
	Row Row
	// Place is the position in the row, from 1.
	Place       int
	Title       string
	Description string
	// Type is Grafana's: "timeseries", "heatmap", "stat", "gauge", "bargauge",
	// "table".
	Type string
	// Unit is Grafana's: "s", "percentunit", "ops", "Bps".
	Unit    string
	Queries []Query
	// Thresholds colour values, from the lowest.
	Thresholds []Threshold
	Stacked    bool
}

// Query is one question of a panel.
type Query struct {
	// Expr may use Grafana's variables, $instance and those named like a
	// label, and $__rate_interval.
	Expr string
	// Legend names a result: "{{device}} p99". It is not expanded.
	Legend string
}

// Threshold is where a colour begins.
type Threshold struct {
	// From is the lowest value of that colour; nothing is below the first.
	From  float64
	Color string // "green", "yellow", "red"
}
