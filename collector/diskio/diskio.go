// SPDX-License-Identifier: Apache-2.0

// Package diskio measures disk I/O: latency per device and operation from the
// request's creation to its completion, with bytes and errors. The README
// beside it says what is counted and what is not.
package diskio

import (
	"fmt"
	"os"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// Spec describes the collector.
func Spec() collector.Spec {
	labels := []collector.Label{
		{Name: "device", Field: "disk"},
		{Name: "operation", Field: "operation"},
	}
	overflow := &collector.Overflow{Each: "operation"}
	owners := &collector.Owners{Field: "disk", As: label.Disks}
	return collector.Spec{
		Name: "diskio",
		Help: "Latency, bytes and errors of every disk I/O, per device and operation",
		Port: 9101,
		Load: loadDiskio,
		Hooks: []collector.Hook{
			// Programs of one place run in this order, and read the clock in
			// it: the service time is never longer than the whole.
			{Name: "service completion", Ways: collector.By("diskio_serve_typed", "diskio_serve_raw"), When: "service-time"},
			{Name: "request completion", Ways: collector.By("diskio_complete_typed", "diskio_complete_raw")},
			{Name: "bio submission", Ways: collector.By("diskio_bio_queue_typed", "diskio_bio_queue_raw")},
			{Name: "bio end", Ways: collector.By("diskio_bio_complete_typed", "diskio_bio_complete_raw")},
			{Name: "bio end within another's", Ways: collector.By("diskio_bio_missed_typed", "diskio_bio_missed_raw")},
			{Name: "names of volumes", Ways: []collector.Way{
				{Source: &collector.Source{From: "/sys/block", Metrics: []string{info}, Open: openInfo}},
			}},
		},
		Options: []collector.Option{{
			Name: "service-time",
			Help: "Also serve the device's own part of the latency, without the time in queues.",
		}},
		Tables: []collector.Table{
			{Map: "diskio_rows", Labels: labels, Overflow: overflow, Owners: owners, Size: rows},
			{Map: "diskio_service", Labels: labels, Overflow: overflow, Owners: owners, Size: rows},
		},
		Metrics: []collector.Metric{
			{
				Name: "ebpf_disk_io_latency", Kind: collector.Histogram, Map: "diskio_rows", Field: "latency",
				Help: "Latency of disk I/O from the request's creation to its completion, queues included.",
			},
			{
				Name: "ebpf_disk_io_service_latency", Kind: collector.Histogram, Map: "diskio_service",
				Help: "Latency of disk I/O from its issue to the device to its completion.", When: "service-time",
			},
			{
				Name: "ebpf_disk_io_bytes_total", Kind: collector.Counter, Map: "diskio_rows", Field: "bytes",
				Help: "Bytes of disk I/O that completed, with or without an error.",
			},
			{
				Name: "ebpf_disk_io_errors_total", Kind: collector.Counter, Map: "diskio_rows", Field: "errors",
				Help: "Disk I/O that completed with an error.",
			},
			{
				Name: "ebpf_disk_io_retries_total", Kind: collector.Counter, Map: "diskio_rows", Field: "retries",
				Help: "Disk I/O that would have had to wait, and that the kernel gave back to be tried again; it is no error and in no histogram.",
			},
			{
				Name: "ebpf_disk_io_untimed_total", Kind: collector.Counter, Map: "diskio_rows", Field: "untimed",
				Help: "Disk I/O to which the kernel had given no start time; it is in no histogram.",
			},
			{
				Name: info, Kind: collector.Gauge,
				Help:   "A disk that is there, always 1. The name is that of the volume of device mapper or of the array of md; of any other disk, the device's own.",
				Labels: []collector.Label{{Name: "device"}, {Name: "name"}},
			},
		},
		Records: records(),
		Alerts:  alerts(),
		Panels:  panels(),
	}
}

// rows returns how many a machine with so many disks as this one needs: four
// operations each, some for disks that are plugged in later, and those for what
// does not fit. A row has a copy of 2.5 KB on every CPU.
func rows() (uint32, error) {
	const operations, spare, reserved = 4, 32, 5
	disks, err := os.ReadDir("/sys/block")
	if err != nil {
		return 0, fmt.Errorf("counting disks: %w", err)
	}
	return uint32(operations*(len(disks)+spare) + reserved), nil
}
