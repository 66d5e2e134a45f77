// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"testing"

	"github.com/kernscope/kernscope/internal/metric"
)

func TestExpand(t *testing.T) {
	const p99 = `{{quantile 0.99 "ebpf_disk_io_latency{operation=\"read\"}" "5m" "instance" "device"}} > 0.05`
	for _, tc := range []struct {
		unit       metric.Unit
		text, want string
	}{
		{metric.Microseconds, p99, `(histogram_quantile(0.99, sum by (instance, device) (rate(ebpf_disk_io_latency_microseconds{operation="read"}[5m])))` +
			"\nor " + `histogram_quantile(0.99, sum by (instance, device, le) (rate(ebpf_disk_io_latency_microseconds_bucket{operation="read"}[5m])))) / 1000000 > 0.05`},
		{metric.Seconds, p99, `(histogram_quantile(0.99, sum by (instance, device) (rate(ebpf_disk_io_latency_seconds{operation="read"}[5m])))` +
			"\nor " + `histogram_quantile(0.99, sum by (instance, device, le) (rate(ebpf_disk_io_latency_seconds_bucket{operation="read"}[5m])))) > 0.05`},
		{metric.Microseconds, `{{buckets "ebpf_x{a=\"b\"}" "5m"}}`,
			"sum(increase(ebpf_x_microseconds{a=\"b\"}[5m]))\nor on () " + `sum by (le) (increase(ebpf_x_microseconds_bucket{a="b"}[5m]))`},
		{metric.Microseconds, `max by (a) ({{seconds "ebpf_x"}})`, `max by (a) (ebpf_x_microseconds / 1000000)`},
		{metric.Seconds, `max by (a) ({{seconds "ebpf_x"}})`, `max by (a) (ebpf_x_seconds)`},
		{metric.Seconds, `rate({{name "ebpf_x{a=\"b\"}"}}[1m])`, `rate(ebpf_x_seconds{a="b"}[1m])`},
		{metric.Seconds, `rate(ebpf_x_total{a="b"}[1m]) > 1`, `rate(ebpf_x_total{a="b"}[1m]) > 1`},
	} {
		got, err := expand(tc.text, tc.unit)
		if err != nil || got != tc.want {
			t.Errorf("%s in %v: %v\n got %s\nwant %s", tc.text, tc.unit, err, got, tc.want)
		}
	}
	for _, text := range []string{`{{`, `{{quantil 1}}`, `{{.X}}`} {
		if _, err := expand(text, metric.Seconds); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
