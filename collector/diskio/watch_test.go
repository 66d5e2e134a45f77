// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"maps"
	"testing"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const (
	latency = "ebpf_disk_io_latency_microseconds"
	service = "ebpf_disk_io_service_latency_microseconds"

	retriesTotal = "ebpf_disk_io_retries_total"
)

// watch compares what the collector and the kernel count of a disk.
type watch struct {
	disk   disk
	engine *engine.Engine
	before kerneltest.Numbers
	kernel counts
	hidden *kerneltest.Watch
	last   bool // attempt
}

// see starts to watch the disk.
func see(t testing.TB, e *engine.Engine, d disk) *watch {
	t.Helper()
	return &watch{disk: d, engine: e, kernel: d.kernelCounts(t), before: kerneltest.Read(t, e)}
}

// seen is what happened since.
type seen struct {
	ours, kernel  counts
	before, after kerneltest.Numbers
	disk          disk
	hidden        kerneltest.Hidden
	last          bool
}

// seen ends the watch. Nothing may have been lost.
func (w *watch) seen(t testing.TB) seen {
	t.Helper()
	s := seen{kernel: w.disk.kernelCounts(t), before: w.before, after: kerneltest.Read(t, w.engine), disk: w.disk, last: w.last}
	s.hidden = w.hidden.Hidden()
	s.after.Lost(t)
	s.ours = collected(s.after, w.disk.name).minus(collected(s.before, w.disk.name))
	s.kernel = s.kernel.minus(w.kernel)
	return s
}

// collected is what the collector has of a device.
func collected(n kerneltest.Numbers, device string) counts {
	c := make(counts)
	for _, op := range append(operations, "other") {
		labels := []string{"device=" + device, "operation=" + op}
		total := tally{
			bytes:   uint64(n.Value("ebpf_disk_io_bytes_total", labels...)),
			errors:  uint64(n.Value("ebpf_disk_io_errors_total", labels...)),
			untimed: uint64(n.Value("ebpf_disk_io_untimed_total", labels...)),
			retries: uint64(n.Value(retriesTotal, labels...)),
		}
		total.ios, total.ns = n.Hist(latency, labels...)
		total.ios += total.untimed
		c[op] = total
	}
	return c
}

func (c counts) minus(old counts) counts {
	d := make(counts)
	for op, n := range c {
		o := old[op]
		d[op] = tally{n.ios - o.ios, n.bytes - o.bytes, n.ns - o.ns, n.errors - o.errors, n.untimed - o.untimed, n.retries - o.retries}
	}
	return d
}

func (c counts) plus(more counts) counts {
	d := maps.Clone(c)
	for op, n := range more {
		o := d[op]
		d[op] = tally{n.ios + o.ios, n.bytes + o.bytes, n.ns + o.ns, n.errors + o.errors, n.untimed + o.untimed, n.retries + o.retries}
	}
	return d
}

// requests checks the counts of a device that has requests: they are the
// kernel's, per operation, but for empty flushes. For each the kernel counts a
// flush and, with no bytes, a write, where we have the flush alone.
func (s seen) requests(t testing.TB, emptyFlushes uint64) {
	t.Helper()
	for _, op := range operations {
		want := s.kernel[op].ios
		if op == "write" {
			want -= emptyFlushes
		}
		kerneltest.Check(t, s.disk.name+"'s number of "+op, s.ours[op].ios, s.ios(want))
		kerneltest.Check(t, s.disk.name+"'s bytes of "+op, s.ours[op].bytes, s.bytes(s.kernel[op].bytes, want))
		// Both start at the same stamp. The kernel stops later, how much
		// depends on the machine, and rounds down before and after.
		if most := s.kernel[op].ns + 1e6; s.ours[op].ns > most {
			t.Errorf("%s's time of %s is %d ns, more than the kernel's %d", s.disk.name, op, s.ours[op].ns, most)
		}
	}
	s.clean(t)
}

// bios checks the bytes of a device without requests. The kernel's numbers of
// I/Os mean something else for each driver: device mapper's writes hold empty
// flushes, and parts of what it cut up; md leaves flushes out, NVMe takes them
// for reads, zram knows no discards.
func (s seen) bios(t testing.TB) {
	t.Helper()
	for _, op := range []string{"read", "write"} {
		equal(t, s.disk.name+"'s bytes of "+op, s.ours[op].bytes, s.kernel[op].bytes)
	}
	s.clean(t)
}

// clean checks that all I/O succeeded and was timed.
func (s seen) clean(t testing.TB) {
	t.Helper()
	for op, n := range s.ours {
		kerneltest.Check(t, s.disk.name+"'s errors of "+op, n.errors, kerneltest.Exactly[uint64](0))
		kerneltest.Check(t, s.disk.name+"'s untimed "+op, n.untimed, s.none(n.ios))
	}
}

// service checks the service times: one for each latency, and never longer.
func (s seen) service(t testing.TB) {
	t.Helper()
	for op, n := range s.ours {
		labels := []string{"device=" + s.disk.name, "operation=" + op}
		count, sum := s.after.Hist(service, labels...)
		oldCount, oldSum := s.before.Hist(service, labels...)
		kerneltest.Check(t, s.disk.name+"'s service times of "+op, count-oldCount, s.ios(n.ios))
		if sum-oldSum > n.ns {
			t.Errorf("%s's service time of %s is %d ns, more than the whole, %d", s.disk.name, op, sum-oldSum, n.ns)
		}
	}
}

// median checks our median against fio's, which must lie in the same bucket or
// the next: fio counts the way to the device and back in. The service time has
// less of that way, so fio's may be longer by any time. No latency may be below
// "least", what the device is known to take.
func (s seen) median(t testing.TB, family, op string, least, fio float64) {
	t.Helper()
	const bucket = 1.0905077326652577 // 2^(1/8)
	labels := []string{"device=" + s.disk.name, "operation=" + op}
	lower, upper := s.after.Quantile(s.before, 0.5, family, labels...)
	t.Logf("%s: median of %s in %.0f..%.0f ns, fio's %.0f", s.disk.name, family, lower, upper, fio)
	if fio < lower/bucket || family == latency && fio > upper*bucket {
		t.Errorf("%s: the median of %s is in %.0f..%.0f ns, fio's is %.0f", s.disk.name, family, lower, upper, fio)
	}
	t.Logf("%s: %s took %d ns, by the kernel %d", s.disk.name, op, s.ours[op].ns, s.kernel[op].ns)
	if _, shortest := s.after.Quantile(s.before, 0, family, labels...); shortest < least {
		t.Errorf("%s: %s has a value of at most %.0f ns, the device takes %.0f", s.disk.name, family, shortest, least)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
