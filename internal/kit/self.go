// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"strings"
	"time"

	"github.com/kernscope/kernscope/collector"
)

// job is the scrape job of kernscope, whatever the layout.
const job = "kernscope"

// textfileExporter is the label exporter of a host whose node_exporter serves
// what kernscope textfile writes.
const textfileExporter = "textfile"

// Self returns the rules about kernscope itself, which every collector gets for
// free. Lost events raise no alert: most reasons mean coarser labels, not a
// wrong count, and which do is in the collectors' READMEs.
func Self(specs []collector.Spec) collector.Spec {
	alerts := []collector.Alert{
		down(), noCollector(),
		statusAlert("failed", "KernscopeCollectorFailed",
			"Collector {{ $labels.collector }} fails on {{ $labels.instance }}",
			"The kernel of {{ $labels.instance }} should support the collector {{ $labels.collector }}, which fails: {{ $labels.reason }}."),
		statusAlert("denied", "KernscopeCollectorDenied",
			"Collector {{ $labels.collector }} is not permitted on {{ $labels.instance }}",
			"The kernel of {{ $labels.instance }} does not permit kernscope to run the collector {{ $labels.collector }}: {{ $labels.reason }}."),
		tableFull(), textfileOld(specs), textfileMissing(),
	}
	for i := range alerts {
		alerts[i].Group = "kernscope"
	}
	return collector.Spec{Name: "kernscope", Alerts: alerts}
}

func down() collector.Alert {
	up := func(value float64) []collector.Series {
		return []collector.Series{
			{Name: `up{job="kernscope",instance="db1",exporter="diskio"}`, Value: value},
			{Name: `up{job="other",instance="db1"}`, Value: 0},
		}
	}
	return collector.Alert{
		Name: "KernscopeDown", For: 5 * time.Minute, Severity: "warning",
		Expr:        `up{job="` + job + `"} == 0`,
		Summary:     "kernscope on {{ $labels.instance }} cannot be scraped",
		Description: "Prometheus has not reached kernscope, or one of its ports, on {{ $labels.instance }} for 5 minutes.",
		Runbook:     "systemctl status 'kernscope*' on that host; Prometheus' page of targets has the error of the last scrape.",
		Fires:       up(0),
		Quiet:       up(1),
		Labels:      map[string]string{"job": "kernscope", "instance": "db1", "exporter": "diskio"},
	}
}

// info returns a series that says how a collector fares.
func info(job, name, status string) collector.Series {
	return collector.Series{
		Name:  fmt.Sprintf(`kernscope_collector_info{job=%q,instance="db1",collector=%q,status=%q,reason="so"}`, job, name, status),
		Value: 1,
	}
}

// noCollector returns the alert that a host has kernscope and no numbers. A
// collector that waits or was stopped is as its user wants it. Of a host that
// answers and says nothing of any collector, something else has the port.
func noCollector() collector.Alert {
	up := collector.Series{Name: `up{job="kernscope",instance="db1",exporter="diskio"}`, Value: 1}
	return collector.Alert{
		Name: "KernscopeNoCollector", For: 5 * time.Minute, Severity: "critical",
		Expr: `(max by (instance, job) (up{job="` + job + `"} == 1) or max by (instance, job) (kernscope_collector_info))
unless on (instance, job) kernscope_collector_info{status=~"running|waiting|stopped"}`,
		Summary:     "No collector of kernscope runs on {{ $labels.instance }}",
		Description: "kernscope answers on {{ $labels.instance }} (job {{ $labels.job }}), and none of its collectors has run for 5 minutes.",
		Runbook: "kernscope doctor on that host, as root, says why; where the kernel permits root what it denies to the service, " +
			"see the unit's capabilities and filters (systemctl cat kernscope), the container's, and kernel.unprivileged_bpf_disabled or lockdown.",
		Fires:  []collector.Series{up, info(job, "diskio", "denied"), info(job, "memory", "unsupported"), info(job, "schedlat", "failed"), info("node", "diskio", "running")},
		Quiet:  []collector.Series{up, info(job, "diskio", "denied"), info(job, "memory", "waiting"), info("node", "diskio", "stopped")},
		Labels: map[string]string{"instance": "db1", "job": job},
	}
}

// statusAlert returns the alert that a collector has a status. That the machine lacks
// something is unsupported, and no failure.
func statusAlert(status, name, summary, description string) collector.Alert {
	return collector.Alert{
		Name: name, For: 10 * time.Minute, Severity: "warning",
		Expr:    fmt.Sprintf("max by (instance, collector, reason) (kernscope_collector_info{status=%q})", status),
		Summary: summary, Description: description,
		Runbook: "kernscope doctor {{ $labels.collector }} on that host, as root, explains what was tried and what would help.",
		Fires:   []collector.Series{info(job, "diskio", status)},
		Quiet:   []collector.Series{info(job, "diskio", "unsupported"), info(job, "memory", "waiting"), info(job, "schedlat", "running")},
		Labels:  map[string]string{"instance": "db1", "collector": "diskio", "reason": "so"},
		Value:   1,
	}
}

func tableFull() collector.Alert {
	full := func(value float64) []collector.Series {
		return []collector.Series{{Name: `kernscope_table_full{job="kernscope",instance="db1",collector="fileops",table="fileops_calls"}`, Value: value}}
	}
	return collector.Alert{
		Name: "KernscopeTableFull", For: 10 * time.Minute, Severity: "warning",
		Expr:        `max by (instance, collector, table) (kernscope_table_full) == 1`,
		Summary:     "A table of collector {{ $labels.collector }} is full on {{ $labels.instance }}",
		Description: "For 10 minutes events on {{ $labels.instance }} have found no room in the table {{ $labels.table }} of the collector {{ $labels.collector }}. They are counted as \"other\".",
		Runbook: "kernscope_table_rows and kernscope_table_limit say how full it is, where the table has a limit. " +
			"See what makes so many names: short-lived processes, addresses or cgroups, or somebody who means to. " +
			"If kernscope_lost_events_total has the reason share_full, half of the room was taken, " +
			"and a user, a cgroup or a network had a quarter of it or more, alone or together with others of the same hash. " +
			"The log on that host names the remedy: --collector.NAME.rows raises the limit; for diskio, restart kernscope, " +
			"which makes room for the disks that are there by then. Totals stay exact.",
		Fires:  full(1),
		Quiet:  full(0),
		Labels: map[string]string{"instance": "db1", "collector": "fileops", "table": "fileops_calls"},
		Value:  1,
	}
}

// textfileOld returns the alert that nobody renews the files. They go on being
// served, so that all else looks well. A file of one of the names is ours if
// the same node_exporter serves our metrics.
func textfileOld(specs []collector.Spec) collector.Alert {
	var names []string
	for _, s := range specs {
		names = append(names, strings.TrimSuffix(collector.TextfileName(s.Name), ".prom"))
	}
	const folder = "/var/lib/node_exporter/textfile_collector/"
	// In a test, the time is that since its begin. The host db2 has a file of another program.
	written := func(instance, file string, at float64) collector.Series {
		return collector.Series{Name: fmt.Sprintf(`node_textfile_mtime_seconds{job="node",instance=%q,file=%q}`, instance, file), Value: at}
	}
	ours := folder + names[0] + ".prom"
	return collector.Alert{
		Name: "KernscopeTextfileOld", For: 5 * time.Minute, Severity: "warning",
		Expr: fmt.Sprintf(`time() - max by (instance, job, file) (node_textfile_mtime_seconds{file=~"(.*/)?(%s)[.]prom"}) > 300
and on (instance, job) kernscope_collector_info`, strings.Join(names, "|")),
		Summary:     "kernscope does not renew its textfiles on {{ $labels.instance }}",
		Description: "{{ $labels.file }} on {{ $labels.instance }} was written {{ $value | humanizeDuration }} ago. node_exporter serves its numbers as if they were new.",
		Runbook: "systemctl list-timers kernscope-textfile.timer and systemctl status kernscope-textfile on that host. " +
			"If that is meant to be, kernscope textfile --unpin removes the files.",
		Fires:  []collector.Series{written("db1", ours, -3600), written("db1", folder+"others.prom", -3600), info("node", "diskio", "running")},
		Quiet:  []collector.Series{written("db1", ours, 1e6), written("db1", folder+"others.prom", -3600), written("db2", ours, -3600), info("node", "diskio", "running")},
		Labels: map[string]string{"instance": "db1", "job": "node", "file": ours},
		Value:  (84 * time.Minute).Seconds(),
	}
}

// textfileMissing returns the alert that a host that is to write textfiles has none.
func textfileMissing() collector.Alert {
	hosts := func(exporter string) collector.Series {
		return collector.Series{Name: fmt.Sprintf(`up{job="node",instance="db1",exporter=%q}`, exporter), Value: 1}
	}
	return collector.Alert{
		Name: "KernscopeTextfileMissing", For: 10 * time.Minute, Severity: "warning",
		Expr: `max by (instance, job) (up{exporter="` + textfileExporter + `"})
unless on (instance, job) kernscope_collector_info`,
		Summary:     "{{ $labels.instance }} serves no textfiles of kernscope",
		Description: "{{ $labels.instance }} is to write kernscope's textfiles, and its node_exporter has served none for 10 minutes.",
		Runbook: "systemctl status kernscope-textfile.timer kernscope-textfile on that host; see that node_exporter runs, " +
			"and that its --collector.textfile.directory is the one that kernscope writes to.",
		Fires:  []collector.Series{hosts(textfileExporter), info(job, "diskio", "running")},
		Quiet:  []collector.Series{hosts("other"), {Name: `up{job="nodes",instance="db1",exporter="textfile"}`, Value: 1}, info("nodes", "diskio", "running")},
		Labels: map[string]string{"instance": "db1", "job": "node"},
	}
}
