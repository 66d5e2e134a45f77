// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestDisks has every kind of disk that the kernel can imitate.
func TestDisks(t *testing.T) {
	kerneltest.VM(t, "loads modules for all kinds of disk")
	e := kerneltest.Run(t, diskio.Spec(), "service-time")

	t.Run("known latency", func(t *testing.T) { knownLatency(t, e) })
	t.Run("scsi", func(t *testing.T) { scsiParts(t, e) })
	t.Run("zones", func(t *testing.T) { zones(t, e) })
	t.Run("device mapper", func(t *testing.T) { deviceMapper(t, e) })
	t.Run("zram", func(t *testing.T) { driveBios(t, e, zram(t)) })
	t.Run("ram disk", func(t *testing.T) { driveBios(t, e, ramDisk(t)) })
	for _, level := range []string{"raid0", "raid1"} {
		t.Run(level, func(t *testing.T) { driveRaid(t, e, level) })
	}
	t.Run("multipath", func(t *testing.T) { driveMultipath(t, e) })
	t.Run("replaced volume", func(t *testing.T) { replaceMapped(t, e) })
	t.Run("swapped NVMe disks", func(t *testing.T) { swapNVMe(t, e) })
	t.Run("refused below device mapper", func(t *testing.T) {
		refusedBelow(t, e, func(below disk) disk {
			return mapped(t, "linear", "linear", below.path()+" 0", below.sectors(t))
		})
	})
	t.Run("refused below a stack", func(t *testing.T) {
		refusedBelow(t, e, func(below disk) disk {
			lower := mapped(t, "lower", "linear", below.path()+" 0", below.sectors(t))
			return mapped(t, "upper", "striped", "1 128 "+lower.path()+" 0", below.sectors(t))
		})
	})
	t.Run("refused below raid0", func(t *testing.T) {
		refusedBelow(t, e, func(below disk) disk {
			other, _ := loop(t, 1<<20)
			return raid(t, "md_refused", "raid0", [2]disk{below, other})
		})
	})
	t.Run("tried again on device mapper", func(t *testing.T) {
		lower := nullBlk(t, "few", 2*time.Millisecond, "hw_queue_depth", "4", "submit_queues", "1")
		lower.set(t, "queue/scheduler", "none")
		triedAgain(t, e, mapped(t, "linear", "linear", lower.path()+" 0", lower.sectors(t)), lower)
	})
	t.Run("tried again on multipath", func(t *testing.T) {
		backing, _ := loop(t, 8<<20)
		head, paths := multipath(t, backing)
		for _, p := range paths {
			p.set(t, "queue/nr_requests", "4")
		}
		triedAgain(t, e, head, paths...)
	})
}

// knownLatency has disks that take a set time, and compares with fio's times.
func knownLatency(t *testing.T, e *engine.Engine) {
	const complete, delay = 10 * time.Millisecond, 30 * time.Millisecond
	slow := nullBlk(t, "slow", complete)
	lower := nullBlk(t, "lower", time.Microsecond)
	delayed := mapped(t, "delayed", "delay", lower.path()+" 0 "+fmt.Sprint(delay.Milliseconds()), lower.sectors(t))

	onSlow, onLower, onDelayed := see(t, e, slow), see(t, e, lower), see(t, e, delayed)
	const options = "rw=randread ioengine=psync bs=4k size=32m io_size=240k"
	ran := fio(t, []job{{slow, "slow", options}}, []job{{delayed, "delayed", options}})

	s := onSlow.seen(t)
	s.requests(t, 0)
	s.service(t)
	equal(t, "reads", s.ours["read"].ios, ran["slow"].Read.IOs)
	sum := time.Duration(ran["slow"].Read.ns())
	for _, family := range []string{latency, service} {
		s.median(t, family, "read", float64(complete), ran["slow"].Read.median())
		_, before := s.before.Hist(family, "device="+slow.name, "operation=read")
		_, after := s.after.Hist(family, "device="+slow.name, "operation=read")
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: family, Workload: "60 reads of a null_blk disk that takes 10 ms: sum of latencies", Source: "fio",
		}, time.Duration(after-before), kerneltest.Truth[time.Duration]{
			Least: sum, Most: sum, Below: sum - 60*complete,
			Why: "fio counts the way to the disk and back in, which is long under emulation. No read took less than the disk does.",
		})
	}

	s = onDelayed.seen(t)
	s.bios(t)
	equal(t, "delayed reads", s.ours["read"].ios, ran["delayed"].Read.IOs)
	// The target counts in ticks, which a slow machine delivers late: several
	// at once.
	s.median(t, latency, "read", 0, ran["delayed"].Read.median())

	s = onLower.seen(t)
	s.requests(t, 0)
	equal(t, "reads below the delay", s.ours["read"].ios, ran["delayed"].Read.IOs)
}

// scsiParts has a disk that refuses some commands, so that they are issued
// again, does others by halves, and fails at one place.
func scsiParts(t *testing.T, e *engine.Engine) {
	d, options := scsi(t)
	f := open(t, d, os.O_RDONLY|unix.O_DIRECT)
	block := aligned(t, 8192)
	const shortTransfer, hostBusy, mediumError = "0x100", "0x8000", "0x2"

	for _, fault := range []string{shortTransfer, hostBusy} {
		settings(t, options, "every_nth", "7", "opts", fault)
		w := see(t, e, d)
		const n = 50
		for i := range int64(n) {
			if _, err := f.ReadAt(block, i*8192); err != nil {
				t.Fatalf("read %d with fault %s: %v", i, fault, err)
			}
		}
		s := w.seen(t)
		s.requests(t, 0)
		s.service(t)
		s.driven(t, counts{"read": {ios: n, bytes: n * 8192}})
	}

	// From sector 0x1234 on there are errors: half of this read succeeds.
	settings(t, options, "every_nth", "0", "opts", mediumError)
	w := see(t, e, d)
	const n = 5
	for range n {
		if _, err := f.ReadAt(block[:4096], 0x1230*512); !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ENODATA) {
			t.Fatalf("reading where the medium is bad: %v", err)
		}
	}
	s := w.seen(t)
	settings(t, options, "opts", "0")
	kerneltest.Accuracy(t, kerneltest.Row{
		Metric: "ebpf_disk_io_errors_total", Workload: "a SCSI disk with a bad place: failed reads", Source: "the test's own count",
	}, s.ours["read"].errors, kerneltest.Exactly[uint64](n))
	equal(t, "number of reads", s.ours["read"].ios, s.kernel["read"].ios)
	equal(t, "bytes read", s.ours["read"].bytes, s.kernel["read"].bytes)
}

// zones resets zones, which moves no data.
func zones(t *testing.T, e *engine.Engine) {
	d := nullBlk(t, "zoned", 0, "memory_backed", "1", "zoned", "1", "zone_size", "4")
	f := open(t, d, os.O_RDWR|unix.O_DIRECT)
	w := see(t, e, d)
	const n, sectors = 7, 4 << 11
	for i := range uint64(n) {
		if _, err := f.WriteAt(aligned(t, 4096), int64(i*sectors*512)); err != nil {
			t.Fatal(err)
		}
		const reset = 0x40101283 // BLKRESETZONE
		if err := ioctl(f, reset, unsafe.Pointer(&[2]uint64{i * sectors, sectors})); err != nil {
			t.Fatal(err)
		}
	}
	s := w.seen(t)
	s.driven(t, counts{"write": {ios: n, bytes: n * 4096}})
	equal(t, "zone resets", s.ours["other"], tally{ios: n, ns: s.ours["other"].ns})
}

// driveBios drives a disk without requests.
func driveBios(t *testing.T, e *engine.Engine, d disk) {
	w := see(t, e, d)
	want := drive(t, d, 40, 4096)
	s := w.seen(t)
	s.driven(t, want)
	if s.kernel["read"].ios > 0 { // else the kernel keeps no account of it
		s.bios(t)
	}
	everyDevice(t, e, nil)
}

func deviceMapper(t *testing.T, e *engine.Engine) {
	a, _ := loop(t, 8<<20)
	b, _ := loop(t, 8<<20)
	linear := mapped(t, "linear", "linear", a.path()+" 0", a.sectors(t))
	onLower := see(t, e, a)
	driveBios(t, e, linear)
	onLower.seen(t).requests(t, 10)

	// Each I/O is cut in four, half of them for either disk.
	stripe := mapped(t, "stripe", "striped", "2 8 "+a.path()+" 0 "+b.path()+" 0", 2*a.sectors(t))
	w, onA, onB := see(t, e, stripe), see(t, e, a), see(t, e, b)
	want := drive(t, stripe, 40, 16<<10)
	s, sa, sb := w.seen(t), onA.seen(t), onB.seen(t)
	s.driven(t, want)
	for _, op := range operations {
		equal(t, "bytes of "+op, s.ours[op].bytes, s.kernel[op].bytes)
		equal(t, "bytes of "+op+" below", sa.ours[op].bytes+sb.ours[op].bytes, want[op].bytes)
	}
	sa.requests(t, 10)
	sb.requests(t, 10)
}

// driveRaid drives an array, which sends some I/O on as it is.
func driveRaid(t *testing.T, e *engine.Engine, level string) {
	a, _ := loop(t, 8<<20)
	b, _ := loop(t, 8<<20)
	d := raid(t, "md_"+level, level, [2]disk{a, b})
	onA, onB := see(t, e, a), see(t, e, b)
	driveBios(t, e, d)
	for _, s := range []seen{onA.seen(t), onB.seen(t)} {
		s.requests(t, 10)
		if s.ours["write"].ios == 0 || s.ours["read"].ios == 0 {
			t.Errorf("%s had no part in it", s.disk.name)
		}
	}
}

// driveMultipath drives an NVMe disk with two paths. It hands its bios on to
// them as they are.
func driveMultipath(t *testing.T, e *engine.Engine) {
	backing, _ := loop(t, 8<<20)
	head, paths := multipath(t, backing)
	onHead := see(t, e, head)
	onPaths := []*watch{see(t, e, paths[0]), see(t, e, paths[1])}
	want := drive(t, head, 40, 4096)
	s := onHead.seen(t)
	s.driven(t, want)

	both := make(counts)
	for _, w := range onPaths {
		s := w.seen(t)
		s.requests(t, s.ours["flush"].ios)
		both = both.plus(s.ours)
	}
	for _, op := range operations {
		equal(t, "both paths' number of "+op, both[op].ios, want[op].ios)
		equal(t, "both paths' bytes of "+op, both[op].bytes, want[op].bytes)
	}
	everyDevice(t, e, nil)
}
