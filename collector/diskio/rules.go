// SPDX-License-Identifier: Apache-2.0

package diskio

import (
	"time"

	"github.com/kernscope/kernscope/collector"
)

const group = "ebpf_disk"

// records are for dashboards of the user's own. They leave out what disks that are
// gone did, for the reason that [alert] does.
func records() []collector.Record {
	return []collector.Record{{
		Group: group, Name: "instance_device_operation:ebpf_disk_io_latency_seconds:p99_5m",
		Expr: `{{quantile 0.99 "ebpf_disk_io_latency{device!=\"gone\"}" "5m" "instance" "device" "operation"}}`,
	}}
}

func alerts() []collector.Alert {
	return []collector.Alert{
		alert("DiskLatencyP99High", "warning", 50*time.Millisecond, 5*time.Minute),
		alert("DiskLatencyP99Critical", "critical", 200*time.Millisecond, 2*time.Minute),
	}
}

// alert says that one of a hundred I/Os takes longer than a limit. Nobody waits
// for discards and resets of zones, which take long on devices that are well. What
// disks that are gone did, they did long ago: its counts come in one piece.
func alert(name, severity string, limit, lasts time.Duration) collector.Alert {
	of := func(device string, latency time.Duration, operation string) collector.Series {
		return collector.Series{
			Name:    `ebpf_disk_io_latency{job="kernscope",instance="db1",device="` + device + `",operation="` + operation + `"}`,
			Latency: latency,
		}
	}
	takes := func(latency time.Duration, operation string) collector.Series { return of("sda", latency, operation) }
	return collector.Alert{
		Group: group, Name: name, For: lasts, Severity: severity,
		Slow: &collector.Slow{
			Metric: `ebpf_disk_io_latency{operation=~"read|write|flush",device!="gone"}`, Quantile: 0.99, Limit: limit,
			Window: 5 * time.Minute, By: []string{"instance", "device", "operation"},
		},
		Summary:     "Disk {{ $labels.device }} of {{ $labels.instance }} is slow: {{ $labels.operation }}",
		Description: "One of a hundred I/Os ({{ $labels.operation }}) on {{ $labels.device }} of {{ $labels.instance }} took longer than {{ $value | humanizeDuration }} in the last 5 minutes.",
		Runbook: "See whether the disk fails (dmesg, smartctl -a) or is busy (iostat -x), and who keeps it busy (pidstat -d); " +
			"of an array, look at the members, which have latencies of their own. " +
			"ebpf_disk_info{device=\"{{ $labels.device }}\"} has the volume's name.",
		Fires:  []collector.Series{takes(limit*2, "read"), takes(limit/2, "write")},
		Quiet:  []collector.Series{takes(limit/2, "read"), takes(limit/2, "flush"), takes(limit*8, "discard"), takes(limit*8, "other"), of("gone", limit*8, "read")},
		Labels: map[string]string{"instance": "db1", "device": "sda", "operation": "read"},
	}
}
