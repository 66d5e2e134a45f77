// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const tags = 4

// stride leaves a chunk of raid0 to the other disk, and neighbours apart.
const stride = 128 << 10

// TestRefused has a disk all of whose tags are taken, and asks for more without
// wanting to wait: the bio ends before there is a request.
func TestRefused(t *testing.T) {
	e := kerneltest.Run(t, diskio.Spec(), "service-time")
	raw := kerneltest.Run(t, kerneltest.OnlySuffix(diskio.Spec(), "_raw"), "service-time")
	exactly(t, func(t *trial) {
		d, held := heldLoop(t)
		w, r := t.see(e, d), t.see(raw, d)
		refuse(t, d, d, held)
		for _, s := range []seen{w.seen(t), r.seen(t)} {
			kerneltest.Accuracy(t, kerneltest.Row{
				Metric: retriesTotal, Workload: "a disk without a free tag: reads that may not wait", Source: "the test's own count",
			}, s.ours["read"].retries, s.ios(refusedReads))
			s.refused(t)
			s.requests(t, 0)
			s.service(t)
		}
	})
}

// TestRequestTriedAgain has a disk whose driver ends requests with BLK_STS_AGAIN.
func TestRequestTriedAgain(t *testing.T) {
	e := kerneltest.Run(t, diskio.Spec(), "service-time")
	exactly(t, func(t *trial) {
		d, held := heldLoop(t)
		f := open(t, d, os.O_RDWR|unix.O_DIRECT)
		block := aligned(t, 4096)
		w := t.see(e, d)
		const n, again, failed = 11, 9, 3
		held.errno.Store(uint32(unix.EAGAIN))
		for range again {
			if _, err := unix.Pread(int(f.Fd()), block, 0); !errors.Is(err, unix.EAGAIN) {
				t.Fatalf("reading what is to be tried again: %v", err)
			}
		}
		held.errno.Store(uint32(unix.EIO))
		for range failed {
			if _, err := unix.Pread(int(f.Fd()), block, 0); !errors.Is(err, unix.EIO) {
				t.Fatalf("reading what fails: %v", err)
			}
		}
		held.errno.Store(0)
		for range n {
			if _, err := unix.Pread(int(f.Fd()), block, 0); err != nil {
				t.Fatal(err)
			}
		}
		s := w.seen(t)
		kerneltest.Check(t, "reads", s.ours["read"].ios, s.ios(n+failed))
		kerneltest.Check(t, "bytes read", s.ours["read"].bytes, s.bytes((n+failed)*4096, n+failed))
		kerneltest.Check(t, "errors", s.ours["read"].errors, s.ios(failed))
		kerneltest.Check(t, "retries", s.ours["read"].retries, s.ios(again))
		s.service(t)
	})
}

const (
	refusedReads  = 7
	refusedWrites = 5
)

// refuse takes all tags of the disk below, and has reads and writes of the disk
// on it refused. Then it reads once for each tag.
func refuse(t testing.TB, d, below disk, held *heldFile) {
	t.Helper()
	f := open(t, d, os.O_RDWR|unix.O_DIRECT)
	blocks := aligned(t, (tags+1)*4096)
	// Not where the kernel has looked for partitions: it does not wait to drop
	// what it has cached there either.
	const place = tags * stride
	block := [][]byte{blocks[tags*4096:]}
	held.held.Lock()
	done := make(chan error, tags)
	for i := range tags {
		go func() {
			_, err := f.ReadAt(blocks[i*4096:][:4096], int64(i)*stride)
			done <- err
		}()
	}
	defer func() {
		held.held.Unlock()
		for range tags {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}()
	kerneltest.Until(t, "all tags are taken", func() error {
		if inflight := read(t, below.sysfs("inflight")); strings.Fields(inflight)[0] != "4" {
			return errors.New(inflight)
		}
		return nil
	})
	for range refusedReads {
		if _, err := unix.Preadv2(int(f.Fd()), block, place, unix.RWF_NOWAIT); !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("a read that may not wait: %v", err)
		}
	}
	for range refusedWrites {
		if _, err := unix.Pwritev2(int(f.Fd()), block, place, unix.RWF_NOWAIT); !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("a write that may not wait: %v", err)
		}
	}
}

// refused checks the counts of a disk that has refused.
func (s seen) refused(t testing.TB) {
	t.Helper()
	kerneltest.Check(t, s.disk.name+"'s reads", s.ours["read"].ios, s.ios(tags))
	kerneltest.Check(t, s.disk.name+"'s bytes read", s.ours["read"].bytes, s.bytes(tags*4096, tags))
	kerneltest.Check(t, s.disk.name+"'s retries of read", s.ours["read"].retries, s.ios(refusedReads))
	kerneltest.Check(t, s.disk.name+"'s retries of write", s.ours["write"].retries, s.ios(refusedWrites))
	equal(t, s.disk.name+"'s writes", s.ours["write"].ios, 0)
	equal(t, s.disk.name+"'s bytes written", s.ours["write"].bytes, 0)
	s.clean(t)
}

// refusedBelow has a disk without requests hand on what the disk below refuses.
func refusedBelow(t *testing.T, e *engine.Engine, over func(below disk) disk) {
	below, held := heldLoop(t)
	d := over(below)
	if !mayNotWait(t, d) {
		t.Logf("%s knows of no I/O that may not wait", d.name)
		return
	}
	onDisk, onBelow := see(t, e, d), see(t, e, below)
	refuse(t, d, below, held)
	onDisk.seen(t).refused(t)
	onBelow.seen(t).refused(t)
}

// triedAgain has io_uring keep more reads under way than the disk below has tags:
// it never waits, and what is refused it tries again.
func triedAgain(t *testing.T, e *engine.Engine, d disk, below ...disk) {
	waits := !mayNotWait(t, d)
	onDisk := see(t, e, d)
	var onBelow []*watch
	for _, b := range below {
		onBelow = append(onBelow, see(t, e, b))
	}
	const n = 400
	ran := fio(t, []job{{d, "again", "rw=randread ioengine=io_uring iodepth=64 bs=4k size=8m io_size=1600k"}})["again"].Read
	equal(t, "fio's reads", ran.IOs, n)
	s := onDisk.seen(t)
	s.driven(t, counts{"read": {ios: n, bytes: n * 4096}})
	var sum, refused uint64
	for _, w := range onBelow {
		b := w.seen(t)
		b.clean(t)
		sum += b.ours["read"].ios
		refused += b.ours["read"].retries
	}
	equal(t, "reads below", sum, n)
	equal(t, "reads refused below", refused, s.ours["read"].retries)
	if (refused == 0) != waits {
		t.Errorf("%d reads were refused; that the disk knows of no I/O that may not wait is %v", refused, waits)
	}
	t.Logf("%d reads were refused, and programs left out %d times", refused, s.after.Missed(s.before))
}

// mayNotWait reports whether the disk does I/O that may not wait: not all do, on
// older kernels. Some have no such I/O, and some refuse all of it. A new disk may
// be busy for a moment.
func mayNotWait(t testing.TB, d disk) bool {
	t.Helper()
	f, block := open(t, d, os.O_RDONLY|unix.O_DIRECT), aligned(t, 4096)
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		_, err := unix.Preadv2(int(f.Fd()), [][]byte{block}, 0, unix.RWF_NOWAIT)
		switch {
		case err == nil:
			return true
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAGAIN) && time.Since(begin) > 3*time.Second:
			return false
		case !errors.Is(err, unix.EAGAIN):
			t.Fatalf("a read that may not wait: %v", err)
		}
	}
}
