// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestManyNames forks more processes with a name each than the table has room
// for. Nothing may be lost: what has no row of its own is in "other", and said
// to be. A collector with room for all names says what other programs added.
func TestManyNames(t *testing.T) {
	const processes, each = 10_000, 3
	prefix := kerneltest.Own("s") + "-"
	pages := anonymous(t, each) // fresh to each process: this one leaves them alone
	var calls []kerneltest.Call
	for i := range each {
		page := uintptr(unsafe.Pointer(&pages[i*os.Getpagesize()]))
		calls = append(calls, kerneltest.Call{Times: 1, Number: unix.SYS_UNAME, Args: [3]uintptr{page}})
	}
	kerneltest.LeaveCgroups(t)
	roomy := kerneltest.Run(t, kerneltest.WithRows(Spec(), 2*processes), "processes")
	e := kerneltest.Run(t, Spec(), "processes")
	first, before := minorsOf(kerneltest.Read(t, roomy)), kerneltest.Read(t, e)
	kerneltest.Storm(t, processes, prefix, calls...)
	after, later := kerneltest.Read(t, e), kerneltest.Read(t, e)
	last := minorsOf(kerneltest.Read(t, roomy))

	rows, began := minorsOf(after), minorsOf(before)
	own, names, others := 0, 0, 0
	for process, n := range last {
		has, fits := rows[process]
		switch {
		case !strings.HasPrefix(process, prefix):
			// It may have found room only when the table was read.
			others += max(0, n-first[process]-(has-began[process]))
		case n != each || fits && has != each:
			t.Errorf("%s: %d counted, with room for all %d, want %d", process, has, n, each)
		case fits:
			own += has
			names++
		}
	}
	if names < 400 || len(rows) >= 500 {
		t.Errorf("%d names of %d have a row, the table is for 480", names, len(rows))
	}
	other := rows["other"] - began["other"]
	kerneltest.Accuracy(t, kerneltest.Row{
		Metric: byProcess, Source: "the test's own count",
		Workload: "10,000 processes with a name each, forked by two at a time, that touch 3 fresh pages each, named and other together: minor",
	}, own+other, kerneltest.Truth[int]{
		Least: processes * each, Most: processes*each + others, Why: "New names of other programs did not fit either.",
	})
	// The losses are read after the rows, and before the later rows.
	all := func(n kerneltest.Numbers) float64 {
		return n.Value(byProcess, "process=other", "type=minor") + n.Value(byProcess, "process=other", "type=major")
	}
	lost := after.Value("kernscope_lost_events_total", "collector=memory", "reason=map_full")
	if lost < all(after) || lost > all(later) {
		t.Errorf("%v to %v counted as other, %v as lost", all(after), all(later), lost)
	}
}

// minorsOf returns the minor faults of each process.
func minorsOf(n kerneltest.Numbers) map[string]int {
	faults := make(map[string]int)
	for key, sample := range n {
		if labels, ok := strings.CutPrefix(key, byProcess+"{process="); ok {
			if process, ok := strings.CutSuffix(labels, ",type=minor}"); ok {
				faults[process] = int(sample.Value)
			}
		}
	}
	return faults
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
		got := as(t, "faulty", func() touches {
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
	kerneltest.LoadModule(t, "zram")
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
	got := as(t, "swapper", func() touches { return write(m) })
	after := kerneltest.Read(t, e)
	lost(t, before, after, 0)
	if got.major < pages*9/10 {
		t.Fatalf("%d major faults of %d pages swapped out: the test shows nothing", got.major, pages)
	}
	n0, sum0 := before.Hist(latency)
	n, sum := after.Hist(latency)
	others := majorsOf(after) - majorsOf(before) - got.major
	kerneltest.Accuracy(t, kerneltest.Row{
		Metric: latency, Workload: "swapping 200 pages in: number of latencies", Source: "getrusage, and perf for the faults of others",
	}, n-n0, kerneltest.Exactly(got.major+others))
	if others == 0 && (sum == sum0 || sum-sum0 > uint64(got.sum)) {
		t.Errorf("the faults took %d ns, touching the pages %d ns", sum-sum0, got.sum)
	}
	t.Logf("minor %d, major %d, %d latencies of %d ns in %v", got.minor, got.major, n-n0, sum-sum0, got.sum)
}
