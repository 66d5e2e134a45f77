// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestRequests compares with the kernel's own counts of the disk and with fio's
// of what it did, for the programs of either kind on the same I/O.
func TestRequests(t *testing.T) {
	engines := map[string]*engine.Engine{
		"typed": kerneltest.Run(t, diskio.Spec(), "service-time"),
		"raw":   kerneltest.Run(t, kerneltest.OnlySuffix(diskio.Spec(), "_raw"), "service-time"),
	}
	disks := make(map[string]disk)
	steps := make([][]job, 4)
	for _, scheduler := range []string{"none", "mq-deadline"} {
		for _, statistics := range []string{"1", "0"} {
			d, _ := loop(t, 16<<20)
			d.set(t, "queue/scheduler", scheduler)
			d.set(t, "queue/iostats", statistics)
			if statistics == "0" {
				// Only fio's counts are left, and fio sees no merges.
				d.set(t, "queue/nomerges", "2")
			}
			disks[scheduler+" iostats="+statistics] = d
			for i, j := range []job{
				{d, d.name + " read", "rw=randread ioengine=libaio iodepth=8 bs=4k io_size=1200k"},
				{d, d.name + " write", "rw=randwrite ioengine=psync fsync=10 bs=8k io_size=808k"},
				{d, d.name + " sync", "rw=randwrite ioengine=psync sync=dsync bs=4k io_size=80k"},
				{d, d.name + " trim", "rw=randtrim ioengine=psync bs=64k io_size=1472k"},
			} {
				steps[i] = append(steps[i], j)
			}
		}
	}
	exactly(t, func(t *trial) {
		watches := make(map[string]*watch)
		for kind, e := range engines {
			for setting, d := range disks {
				watches[kind+" "+setting] = t.see(e, d)
			}
		}
		ran := fio(t, steps...)
		for _, d := range disks {
			zero(t, d)
		}
		notTouched(t, watches, ran)
		for name, w := range watches {
			s := w.seen(t)
			checkRequests(kerneltest.Named(t, name), s, ran)
			switch name {
			case "typed mq-deadline iostats=1":
				s.recordKernel(t)
			case "typed mq-deadline iostats=0":
				s.recordFio(t, ran)
			}
		}
	})
}

// notTouched voids the attempt if others have read the disks: one who reads
// every disk of the machine also reads those of which the kernel keeps no
// statistics.
func notTouched(t *trial, watches map[string]*watch, ran map[string]fioResult) {
	t.Helper()
	for _, w := range watches {
		if read(t, w.disk.sysfs("queue/iostats")) == "0" {
			continue
		}
		all, fios := w.disk.kernelCounts(t).minus(w.kernel)["read"].bytes, ran[w.disk.name+" read"].Read.Bytes
		if all > fios {
			t.Void("others read %d bytes of %s", all-fios, w.disk.name)
		}
	}
}

const zeroes, zeroBytes = 17, 128 << 10

// zero has the disk itself write zeroes.
func zero(t testing.TB, d disk) {
	f := open(t, d, os.O_RDWR)
	for i := range int64(zeroes) {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, i*zeroBytes, zeroBytes)
		if err != nil {
			t.Fatalf("zeroing a range of %s: %v", d.path(), err)
		}
	}
}

func checkRequests(t testing.TB, s seen, ran map[string]fioResult) {
	reads, writes := ran[s.disk.name+" read"].Read, ran[s.disk.name+" write"]
	syncs, trims := ran[s.disk.name+" sync"].Write, ran[s.disk.name+" trim"].Trim
	equal(t, "fio's reads", reads.IOs, 300)
	equal(t, "fio's writes", writes.Write.IOs, 101)
	equal(t, "fio's calls of fsync", writes.Sync.IOs, 10)
	equal(t, "fio's synchronous writes", syncs.IOs, 20)
	equal(t, "fio's trims", trims.IOs, 23)

	// A synchronous write is the data, a flush, and the same write once more
	// with nothing, for the disk cannot force data out by itself. Then an
	// empty flush, the system call's.
	emptyFlushes := writes.Sync.IOs + syncs.IOs
	made := writes.Write.IOs + syncs.IOs + zeroes
	kerneltest.Check(t, "flushes", s.ours["flush"].ios, s.ios(emptyFlushes+syncs.IOs))
	kerneltest.Check(t, "writes", s.ours["write"].ios, s.ios(made))
	kerneltest.Check(t, "bytes written", s.ours["write"].bytes, s.bytes(writes.Write.Bytes+syncs.Bytes+zeroes*zeroBytes, made))
	kerneltest.Check(t, "discards", s.ours["discard"].ios, s.ios(trims.IOs))
	kerneltest.Check(t, "bytes discarded", s.ours["discard"].bytes, s.bytes(trims.Bytes, trims.IOs))
	kerneltest.Check(t, "bytes read", s.ours["read"].bytes, s.bytes(reads.Bytes, reads.IOs))
	s.clean(t)
	s.service(t)
	if read(t, s.disk.sysfs("queue/iostats")) == "1" {
		// Neighbours that wait together become one request.
		if s.ours["read"].ios > reads.IOs {
			t.Errorf("%d reads, fio made %d", s.ours["read"].ios, reads.IOs)
		}
		s.requests(t, emptyFlushes)
		return
	}
	// Some kernels leave the time of an earlier request in a new one then.
	equal(t, "the kernel's reads", s.kernel["read"].ios, 0)
	kerneltest.Check(t, "reads", s.ours["read"].ios, s.ios(reads.IOs))
	for op, side := range map[string]fioSide{"read": reads, "discard": trims} {
		if s.ours[op].ns == 0 || s.ours[op].ns > side.ns() {
			t.Errorf("time of %s is %d ns, fio's %d", op, s.ours[op].ns, side.ns())
		}
	}
}

// TestErrors takes from a loop device the right to write to its file.
func TestErrors(t *testing.T) {
	e := kerneltest.Run(t, diskio.Spec())
	exactly(t, func(t *trial) {
		d, backing := loop(t, 1<<20)
		f := open(t, d, os.O_RDWR|unix.O_DIRECT)
		block := aligned(t, 4096)
		w := t.see(e, d)
		if _, err := f.WriteAt(block, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(backing.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != nil {
			t.Fatalf("sealing the disk's memory: %v", err)
		}
		const n = 13
		for range n {
			if _, err := f.WriteAt(block, 8192); err == nil {
				t.Fatal("a write to sealed memory succeeded")
			}
			if _, err := f.ReadAt(block, 8192); err != nil {
				t.Fatal(err)
			}
		}
		s := w.seen(t)
		kerneltest.Check(t, "writes", s.ours["write"].ios, s.ios(n+1))
		equal(t, "the kernel's writes", s.kernel["write"].ios, n+1)
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: "ebpf_disk_io_errors_total", Workload: "a loop device that may not write to its file: failed writes", Source: "the test's own count",
		}, s.ours["write"].errors, s.ios(n))
		kerneltest.Check(t, "reads", s.ours["read"].ios, s.ios(n))
		equal(t, "failed reads", s.ours["read"].errors, 0)
	})
}

func open(t testing.TB, d disk, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(d.path(), flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// aligned is memory that a disk can read and write directly.
func aligned(t testing.TB, size int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}
