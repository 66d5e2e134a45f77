// SPDX-License-Identifier: Apache-2.0

// Package textbook holds collectors as textbooks and the well-known tools write them, for
// comparison. They measure the same as kernscope's, on the same kind of hook. They differ in what
// they store and where.
package textbook

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/internal/label"
)

// Syscall counts system calls in a hash by number.
func Syscall() collector.Spec {
	return counting("syscall_calls", loadSyscall, []string{"syscall_count"},
		collector.Label{Name: "syscall", As: label.Syscall})
}

// SyscallLatency stores the time of every call's entry in a hash by thread.
func SyscallLatency() collector.Spec {
	return counting("syscall_latency", loadSyscall, []string{"syscall_start", "syscall_end"},
		collector.Label{Name: "syscall", Field: "number", As: label.Syscall}, of("slot", label.Number))
}

// Schedlat stores the time of every wake-up in a hash by pid.
func Schedlat() collector.Spec {
	return counting("schedlat_delay", loadSchedlat, []string{"schedlat_wakeup", "schedlat_wakeup_new", "schedlat_switch"},
		collector.Label{Name: "slot", As: label.Number})
}

// Diskio stores the start of every request in a hash by request.
func Diskio() collector.Spec {
	return diskio("diskio_insert", "diskio_issue", "diskio_complete")
}

// DiskioBios stores the start of every bio in a hash by bio.
func DiskioBios() collector.Spec {
	return diskio("diskio_submit", "diskio_bio_end")
}

func diskio(programs ...string) collector.Spec {
	return counting("diskio_latency", loadDiskio, programs,
		of("device", newDevice), of("operation", label.Number), of("slot", label.Number))
}

// device names a disk by its number.
type device struct{}

func newDevice() label.Decoder { return device{} }

func (device) Label(raw []byte) string {
	number := binary.NativeEndian.Uint32(raw)
	path := fmt.Sprintf("/sys/dev/block/%d:%d", number>>20, number&(1<<20-1))
	link, err := os.Readlink(path)
	if err != nil {
		link = path
	}
	return filepath.Base(link)
}

// Fileops counts in a hash by process, thread, name, descriptor and operation.
func Fileops() collector.Spec {
	spec := counting("fileops_calls", loadFileops, []string{"fileops_enter"},
		of("pid", label.Number), of("tid", label.Number), of("process", label.String),
		of("descriptor", label.Number), of("operation", nil))
	spec.Variables = fileops.Spec().Variables[:1]
	return spec
}

// Cachestat stores every added page in a hash by file and page.
func Cachestat() collector.Spec {
	return counting("cachestat_events", loadCachestat, []string{"cachestat_add", "cachestat_dirty", "cachestat_read"},
		collector.Label{Name: "event"})
}

// Memory counts page faults and allocations in hashes by process.
func Memory() collector.Spec {
	return counting("memory_allocations", loadMemory, []string{"memory_fault", "memory_allocate"},
		of("process", label.String), of("pid", label.Number), of("order", label.Number))
}

// Tcpretransmit counts in a hash by the addresses and ports of both ends.
func Tcpretransmit() collector.Spec {
	return counting("tcpretransmit_flows", loadTcpretransmit, []string{"tcpretransmit_segment", "tcpretransmit_synack"},
		of("source", label.Prefix), of("destination", label.Prefix),
		of("source_port", label.Number), of("destination_port", label.Number))
}

// Events is the name of the only metric of each collector: what it has counted.
const Events = "events"

// counting returns a collector that serves one map. The collector has the name with which the map's
// name begins.
func counting(table string, load func() (*ebpf.CollectionSpec, error), programs []string, labels ...collector.Label) collector.Spec {
	name, _, _ := strings.Cut(table, "_")
	spec := collector.Spec{
		Name:    name,
		Load:    load,
		Tables:  []collector.Table{{Map: table, Labels: labels}},
		Metrics: []collector.Metric{{Name: Events, Kind: collector.Counter, Map: table}},
	}
	for _, p := range programs {
		spec.Hooks = append(spec.Hooks, collector.Hook{Name: p, Ways: collector.By(p)})
	}
	return spec
}

// of returns a label that has the name of the key's member.
func of(field string, as func() label.Decoder) collector.Label {
	return collector.Label{Name: field, Field: field, As: as}
}
