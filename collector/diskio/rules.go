// SPDX-License-Identifier: Apache-2.0

package diskio

import (
	"fmt"
	"time"

	"github.com/kernscope/kernscope/collector"
)

const (
	group = "ebpf_disk"
	// p99 is in seconds.
	p99 = "instance_device_operation:ebpf_disk_io_latency_seconds:p99_5m"
)

func records() []collector.Record {
	return []collector.Record{{
		Group: group, Name: p99,
		Expr: `{{quantile 0.99 "ebpf_disk_io_latency" "5m" "instance" "device" "operation"}}`,
	}}
}

func alerts() []collector.Alert {
	return []collector.Alert{
		alert("DiskLatencyP99High", "warning", 50*time.Millisecond, 5*time.Minute),
		alert("DiskLatencyP99Critical", "critical", 200*time.Millisecond, 2*time.Minute),
	}
}

// alert says that one of a hundred I/Os takes longer than a limit. Nobody waits
// for discards and resets of zones, which take long on devices that are well.
func alert(name, severity string, limit, lasts time.Duration) collector.Alert {
	takes := func(latency time.Duration, operation string) collector.Series {
		return collector.Series{
			Name:    `ebpf_disk_io_latency{job="kernscope",instance="db1",device="sda",operation="` + operation + `"}`,
			Latency: latency,
		}
	}
	return collector.Alert{
		Group: group, Name: name, For: lasts, Severity: severity,
		Expr:        fmt.Sprintf(`%s{operation=~"read|write|flush"} > %v`, p99, limit.Seconds()),
		Summary:     "Disk {{ $labels.device }} of {{ $labels.instance }} is slow: {{ $labels.operation }}",
		Description: "One of a hundred I/Os ({{ $labels.operation }}) on {{ $labels.device }} of {{ $labels.instance }} took longer than {{ $value | humanizeDuration }} in the last 5 minutes.",
		Runbook: "See whether the disk fails (dmesg, smartctl -a) or is busy (iostat -x), and who keeps it busy (pidstat -d); " +
			"of an array, look at the members, which have latencies of their own.",
		Fires:  []collector.Series{takes(limit*2, "read"), takes(limit/2, "write")},
		Quiet:  []collector.Series{takes(limit/2, "read"), takes(limit/2, "flush"), takes(limit*8, "discard"), takes(limit*8, "other")},
		Labels: map[string]string{"instance": "db1", "device": "sda", "operation": "read"},
	}
}
