// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"strings"
	"time"
)

// What is said of a collector to Prometheus and Grafana. PromQL is written
// without the unit of latencies, which is the user's choice, and serves classic
// and native histograms alike. For both it is a text/template with these
// functions:
//
//	{{quantile 0.99 "ebpf_disk_io_latency" "5m" "instance" "device"}}
//
// is the quantile, always in seconds, of the rate over 5 minutes of a
// [Histogram], one for each instance and device. The name may have matchers:
// `ebpf_disk_io_latency{operation="read"}`.
//
//	{{buckets "ebpf_disk_io_latency" "5m"}}
//
// is what a heatmap shows: the growth of the buckets over 5 minutes, of all
// series together.
//
//	{{name "ebpf_disk_io_latency"}}
//
// is the name of what is served in the unit of latencies, with that unit.
//
//	{{seconds "ebpf_zfs_txg_last_sync"}}
//
// is the value of a gauge that is served in the unit of latencies.

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
	// Expr has one result for each alert. Slow is a condition in its place, and
	// the one way to alert on a quantile.
	Expr     string
	Slow     *Slow
	For      time.Duration
	Severity string // "warning" or "critical"
	// Summary and Description may use Prometheus' own templates: {{ $labels.device
	// }}, {{ $value | humanizeDuration }} (of seconds).
	Summary     string
	Description string
	// Runbook says what to look at first.
	Runbook string
	// Fires and Quiet are series that make and do not make the alert fire:
	// the rules' tests are made of them. That it is quiet without any series,
	// and when they end, is tested for every alert.
	Fires []Series
	Quiet []Series
	// Idle are series of a host that has next to nothing to do: two events a minute
	// may look bad to a ratio. They do not make the alert fire, and an alert on
	// a ratio cannot do without them. Those of Slow follow from Fires.
	Idle []Series
	// Labels and Value are those of the one alert that Fires makes fire. It
	// also has its name and severity. Value is left out if it is the 99th
	// percentile of the only Latency.
	Labels map[string]string
	Value  float64
}

// Slow is the condition that a quantile of a [Histogram] is above a limit, in one
// of its series by the labels By. The value of the alert is that quantile, in
// seconds. Classic and native histograms of the same observations always agree:
// the classic form that the engine serves has the bounds next to each limit.
// Where there was little to wait for in the window (fewer than 100 observations,
// which together took less than a twentieth of the time), there is no alert.
type Slow struct {
	// Metric without the unit of latencies; it may have matchers.
	Metric   string
	Quantile float64
	Limit    time.Duration
	Window   time.Duration
	By       []string
}

// Limits returns the durations with which alerts compare a histogram.
func (s *Spec) Limits(metric string) (limits []time.Duration) {
	for _, a := range s.Alerts {
		if a.Slow == nil {
			continue
		}
		if name, _, _ := strings.Cut(a.Slow.Metric, "{"); name == metric {
			limits = append(limits, a.Slow.Limit)
		}
	}
	return limits
}

// Series is input for a test of rules, a sample a minute.
type Series struct {
	// Name with labels, without the unit of latencies:
	// `ebpf_disk_io_latency{instance="db1",device="sda",operation="read"}`.
	Name string
	// Value is what a gauge stays at, PerSecond what a counter that has
	// counted for long grows by.
	Value     float64
	PerSecond float64
	// Latency, if set, makes the series a [Histogram]. Its 99th percentile is
	// this, rounded up to a power of two of the unit.
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

// Rows returns all rows, from the top.
func Rows() []Row { return []Row{RowSystem, RowZFS, RowNetwork, RowApplication} }

// Panel is one panel of the dashboard.
type Panel struct {
	Row Row
	// Place is the position in the row, from 1.
	Place       int
	Title       string
	Description string
	// Type is Grafana's. What it makes of the queries:
	//
	//	"timeseries"  lines over the time shown
	//	"heatmap"     a {{buckets}}, latency over time; the colour is the count
	//	"stat"        the latest numbers, with their past behind them
	//	"gauge"       the present numbers, as round gauges
	//	"bargauge"    the present numbers, as bars
	//	"table"       a column for each query, named by its legend, and a row for
	//	              each set of labels; the first column sorts
	Type string
	// Unit is Grafana's: "s", "percentunit", "ops", "Bps".
	Unit    string
	Queries []Query
	// Thresholds colour values, from the lowest. In a timeseries, those above
	// the first are lines.
	Thresholds []Threshold
	// Stacked puts the areas of a timeseries on top of each other.
	Stacked bool
	// Log makes the axis of a timeseries logarithmic; zero keeps a place on it.
	Log bool
}

// Query is one question of a panel.
type Query struct {
	// Expr may use Grafana's $__rate_interval, and $__range for all of the time
	// shown. What the user chose of instances, and of devices, pools and
	// interfaces, is added to each metric that has the label. The same counter
	// may be scraped from a textfile too, as another job: a rate is therefore
	// the max by instance, or max without (job, exporter), not the sum.
	Expr string
	// Legend names a result: "{{device}} p99". It is not expanded.
	Legend string
	// Unit, if set, is this query's own, drawn against an axis at the right.
	Unit string
}

// Threshold is where a colour begins.
type Threshold struct {
	// From is the lowest value of that colour; nothing is below the first.
	From  float64
	Color string // "green", "yellow", "red"
}
