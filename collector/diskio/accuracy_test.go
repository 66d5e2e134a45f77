// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// The rows of docs/ACCURACY.md that TestRequests compares.

const (
	bytesTotal   = "ebpf_disk_io_bytes_total"
	untimedTotal = "ebpf_disk_io_untimed_total"
	stat         = "/sys/block/*/stat"
)

// recordKernel compares with the kernel's statistics of the disk.
func (s seen) recordKernel(t testing.TB) {
	t.Helper()
	const work = "a loop device with mq-deadline and neighbours merged: "
	for _, op := range []string{"read", "discard"} {
		ours, kernel := s.ours[op], s.kernel[op]
		kerneltest.Accuracy(t, kerneltest.Row{Metric: latency, Workload: work + "number of latencies of " + op, Source: stat},
			ours.ios, s.ios(kernel.ios))
		kerneltest.Accuracy(t, kerneltest.Row{Metric: bytesTotal, Workload: work + op, Source: stat},
			ours.bytes, s.bytes(kernel.bytes, kernel.ios))
		timed, _ := s.after.Hist(service, "device="+s.disk.name, "operation="+op)
		old, _ := s.before.Hist(service, "device="+s.disk.name, "operation="+op)
		kerneltest.Accuracy(t, kerneltest.Row{Metric: service, Workload: work + "number of latencies of " + op, Source: stat},
			timed-old, s.ios(kernel.ios))
	}
}

// recordFio compares with fio, where the kernel keeps no statistics.
func (s seen) recordFio(t testing.TB, ran map[string]fioResult) {
	t.Helper()
	const work = "fio on a loop device with mq-deadline, statistics off: "
	reads, trims := ran[s.disk.name+" read"].Read, ran[s.disk.name+" trim"].Trim
	for op, side := range map[string]fioSide{"read": reads, "discard": trims} {
		ours := s.ours[op]
		kerneltest.Accuracy(t, kerneltest.Row{Metric: latency, Workload: work + "number of latencies of " + op, Source: "fio"},
			ours.ios-ours.untimed, s.ios(side.IOs))
		kerneltest.Accuracy(t, kerneltest.Row{Metric: bytesTotal, Workload: work + op, Source: "fio"},
			ours.bytes, s.bytes(side.Bytes, side.IOs))
	}
	kerneltest.Accuracy(t, kerneltest.Row{Metric: untimedTotal, Workload: work + "I/O without a latency", Source: "fio"},
		s.ours["read"].untimed+s.ours["write"].untimed, s.none(s.ours["read"].ios+s.ours["write"].ios))
}
