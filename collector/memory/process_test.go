// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestManyNames gives a thread more names than the table has room for. Nothing
// may be lost: what has no row of its own is in "other", and said to be.
func TestManyNames(t *testing.T) {
	e := kerneltest.Run(t, Spec(), "processes")
	const names, each = 1500, 3
	pages := anonymous(t, names*each)
	size := os.Getpagesize()

	before := kerneltest.Read(t, e)
	got := as(t, "name", func() time.Duration {
		for i := range names {
			kerneltest.Rename(t, fmt.Sprint("name", i))
			write(pages[i*each*size : (i+1)*each*size])
		}
		return 0
	})
	after := kerneltest.Read(t, e)

	other := func(n kerneltest.Numbers) uint64 {
		return uint64(n.Value(byProcess, "process=other", "type=minor"))
	}
	var own uint64
	rows := 0
	for key, sample := range after {
		if strings.HasPrefix(key, byProcess+"{process=name") && strings.HasSuffix(key, ",type=minor}") {
			own += uint64(sample.Value)
			rows++
		}
	}
	inOther := other(after) - other(before)
	if own > got.minor || own+inOther < got.minor {
		t.Errorf("%d faults by name and %d in other, getrusage counted %d", own, inOther, got.minor)
	}
	if rows < 500 || rows > 1024 {
		t.Errorf("%d names have a row, the table is for 1024", rows)
	}
	const events = "kernscope_lost_events_total"
	labels := []string{"collector=memory", "reason=process_table_full"}
	if n := uint64(after.Value(events, labels...)); n < got.minor-own {
		t.Errorf("%d faults are said to be in other, %d have no row", n, got.minor-own)
	}
}

// TestCPUsComeAndGo turns a CPU off and on: its perf events end with it.
func TestCPUsComeAndGo(t *testing.T) {
	kerneltest.VM(t, "turns a CPU off")
	const cpu = 1
	e := kerneltest.Run(t, Spec(), "processes")
	turn := func(state string) {
		t.Helper()
		if err := os.WriteFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/online", cpu), []byte(state), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Once with a reading while it is off, once without.
	for _, look := range []bool{true, false} {
		turn("0")
		if look {
			kerneltest.Read(t, e)
		}
		turn("1")
		before := kerneltest.Read(t, e)
		fresh := anonymous(t, 100)
		got := as(t, "faulty", func() time.Duration {
			var set unix.CPUSet
			set.Set(cpu)
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				t.Error(err)
			}
			return write(fresh)
		})
		after := kerneltest.Read(t, e)
		labels := []string{"process=faulty", "type=minor"}
		if n := uint64(after.Value(byProcess, labels...) - before.Value(byProcess, labels...)); n != got.minor || n < 100 {
			t.Errorf("read while off %v: %d faults on a CPU that came back, getrusage counted %d", look, n, got.minor)
		}
		if after.Value("kernscope_collector_success", "collector=memory") != 1 {
			t.Error("the collector was not read without error")
		}
	}
}

// TestSwap swaps pages out to compressed memory and in again. Every swap-in
// has a latency where functions can be observed.
func TestSwap(t *testing.T) {
	kerneltest.VM(t, "makes a swap device")
	kerneltest.Tool(t, "mkswap", "util-linux")
	kerneltest.Command(t, "modprobe", "zram")
	if err := os.WriteFile("/sys/block/zram0/disksize", []byte("64M"), 0o644); err != nil {
		t.Fatal(err)
	}
	kerneltest.Command(t, "mkswap", "/dev/zram0")
	kerneltest.Command(t, "swapon", "/dev/zram0")
	t.Cleanup(func() {
		device := []byte("/dev/zram0\x00")
		if _, _, errno := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(&device[0])), 0, 0); errno != 0 {
			t.Error("turning off the swap device:", errno)
		}
	})

	e := kerneltest.Run(t, Spec(), "processes")
	const pages = 200
	m := anonymous(t, pages)
	write(m)
	// Pages that are new to the kernel's lists only leave them the second time.
	for range 10 {
		if err := unix.Madvise(m, unix.MADV_PAGEOUT); err != nil {
			t.Fatal("swapping out:", err)
		}
	}
	before := kerneltest.Read(t, e)
	got := as(t, "swapper", func() time.Duration { return write(m) })
	after := kerneltest.Read(t, e)
	lost(t, before, after)
	if got.major < pages*9/10 {
		t.Fatalf("%d major faults of %d pages swapped out: the test shows nothing", got.major, pages)
	}
	n0, sum0 := before.Hist(latency)
	n, sum := after.Hist(latency)
	others := majorsOf(after) - majorsOf(before) - got.major
	kerneltest.Accuracy(t, kerneltest.Row{
		Metric: latency, Workload: "swapping 200 pages in: number of latencies", Source: "getrusage, and perf for the faults of others",
	}, n-n0, kerneltest.Exactly(got.major+others))
	if others == 0 && (sum == sum0 || sum-sum0 > uint64(got.touching)) {
		t.Errorf("the faults took %d ns, touching the pages %d ns", sum-sum0, got.touching)
	}
	t.Logf("minor %d, major %d, %d latencies of %d ns in %v", got.minor, got.major, n-n0, sum-sum0, got.touching)
}
