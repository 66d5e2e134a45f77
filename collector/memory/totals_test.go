// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const orders = "ebpf_page_alloc_order"

func kernelCounts(t *testing.T) vmstat {
	t.Helper()
	v, err := readVmstat(vmstatFile)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (v vmstat) since(before vmstat) vmstat {
	return vmstat{v.faults - before.faults, v.major - before.major, v.allocated - before.allocated}
}

// readings is why the kernel's own counters leave room.
const readings = "The kernel's counter is read before and after ours, and grows meanwhile."

// TestTotals brackets a reading with two of /proc/vmstat: of a counter that
// only grows, whatever else runs, it must lie between.
func TestTotals(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	for range 10 {
		low := kernelCounts(t)
		n := kerneltest.Read(t, e)
		high := kernelCounts(t)
		for name, bracket := range map[string][2]uint64{
			majors:      {low.major, high.major},
			allocations: {low.allocated, high.allocated},
		} {
			kerneltest.Accuracy(t, kerneltest.Row{
				Metric: name, Workload: "the total since the machine started", Source: vmstatFile,
			}, uint64(n.Value(name)), kerneltest.Truth[uint64]{Least: bracket[0], Most: bracket[1], Why: readings})
		}
		if doubles(t) {
			continue
		}
		// Faults that wait are major already, but not yet faults.
		const waiting = 1000
		v := uint64(n.Value(minors))
		if v+waiting < low.faults-low.major || v > high.faults-low.major {
			t.Errorf("%s is %d, /proc/vmstat says %d before and %d after", minors, v, low.faults-low.major, high.faults-high.major)
		}
	}
}

// doubles says whether the kernel counts a fault that had to wait once more in
// pgfault.
func doubles(t *testing.T) bool {
	return kerneltest.Open(t).Enumerator("fault_flag", "FAULT_FLAG_VMA_LOCK").Reason != ""
}

// TestMinorFaultsAgainstVmstat compares growth with that of /proc/vmstat. On
// kernels that count faults that had to wait twice, that is what is added to
// our counts of both.
func TestMinorFaultsAgainstVmstat(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	fd, cold := file(t, disk(t), 4096)
	forget(t, fd, cold)
	fresh := anonymous(t, 30000)

	outer := kernelCounts(t)
	before := kerneltest.Read(t, e)
	inner := kernelCounts(t)
	as(t, "faulty", func() time.Duration {
		write(fresh)
		return read(cold, 200)
	})
	innerGrowth := kernelCounts(t).since(inner)
	after := kerneltest.Read(t, e)
	outerGrowth := kernelCounts(t).since(outer)

	minor := uint64(after.Value(minors) - before.Value(minors))
	major := uint64(after.Value(majors) - before.Value(majors))
	if minor < 30000 || major < 200 {
		t.Errorf("%d minor and %d major faults, the workload alone had 30000 and 200", minor, major)
	}
	others := major // what pgfault has besides
	if doubles(t) {
		others += major
	}
	kerneltest.Accuracy(t, kerneltest.Row{
		Metric: minors, Source: vmstatFile,
		Workload: "30,000 anonymous pages and 200 pages of a file touched for the first time, by all of the machine",
	}, minor, kerneltest.Truth[uint64]{
		Least: innerGrowth.faults - others, Most: outerGrowth.faults - others,
		// What perf does not see is fewer than 1 % here.
		Below: innerGrowth.faults / 100, Above: major / 100,
		Why: readings + " Programs do not see what the kernel faults in on behalf of a process, as at exec.",
	})
	kerneltest.Accuracy(t, kerneltest.Row{
		Metric: majors, Source: vmstatFile,
		Workload: "30,000 anonymous pages and 200 pages of a file touched for the first time, by all of the machine",
	}, major, kerneltest.Truth[uint64]{Least: innerGrowth.major, Most: outerGrowth.major, Why: readings})
	t.Logf("minor %d, major %d; pgfault grew by %d to %d, pgmajfault by %d", minor, major, innerGrowth.faults, outerGrowth.faults, outerGrowth.major)
}

const allocates = "30,000 anonymous pages and 8 huge ones touched for the first time: pages allocated by all of the machine"

// TestAllocations compares the orders' histogram with the pages that the kernel
// counts as allocated. The tracepoint fires after the kernel has counted, so
// what it saw can never be more than an outer window holds. It can be less than
// an inner window holds, because it does not fire for pages that are allocated
// in bulk (vmalloc, network drivers): in these tests fewer than 1 %.
func TestAllocations(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	outer := kernelCounts(t)
	before := kerneltest.Read(t, e)
	inner := kernelCounts(t)
	hugeBefore := hugeAllocations(t)
	write(anonymous(t, 30000))
	const regions = 8
	touchHuge(t, regions)
	grownHuge := hugeAllocations(t) - hugeBefore
	innerGrowth := kernelCounts(t).since(inner)
	after := kerneltest.Read(t, e)
	outerGrowth := kernelCounts(t).since(outer)
	lost(t, before, after)

	old, now := before[orders+"{}"].Linear, after[orders+"{}"].Linear
	if old == nil || now == nil || now.Highest != 10 {
		t.Fatalf("histograms are %+v and %+v", old, now)
	}
	var pages uint64
	for order := range now.Counts {
		pages += (now.Counts[order] - old.Counts[order]) << order
	}
	if n := now.Counts[0] - old.Counts[0]; n < 30000 {
		t.Errorf("%d allocations of one page, the workload alone had 30000", n)
	}
	order := hugeOrder()
	if n := now.Counts[order] - old.Counts[order]; grownHuge < regions || n < grownHuge {
		t.Errorf("%d allocations of order %d, the kernel counted %d huge pages for %d regions", n, order, grownHuge, regions)
	}
	kerneltest.Accuracy(t, kerneltest.Row{
		Metric: orders, Workload: allocates + ", each order's allocations times its pages", Source: vmstatFile,
	}, pages, kerneltest.Truth[uint64]{
		Least: innerGrowth.allocated, Most: outerGrowth.allocated, Below: innerGrowth.allocated / 100,
		Why: readings + " The order is not told of pages that are allocated in bulk.",
	})
	kerneltest.Accuracy(t, kerneltest.Row{Metric: allocations, Workload: allocates, Source: vmstatFile},
		uint64(after.Value(allocations)-before.Value(allocations)),
		kerneltest.Truth[uint64]{Least: innerGrowth.allocated, Most: outerGrowth.allocated, Why: readings})
}

// hugeOrder is the order of a huge page: 2 MiB of 4 KiB pages.
func hugeOrder() int {
	order := 0
	for size := os.Getpagesize(); size < 2<<20; size *= 2 {
		order++
	}
	return order
}

// hugeAllocations are the huge pages that faults have made.
func hugeAllocations(t *testing.T) uint64 {
	t.Helper()
	text, err := os.ReadFile(vmstatFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\nthp_fault_alloc ")
	count, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(count, 10, 64)
	if !found || err != nil {
		t.Fatalf("no thp_fault_alloc in %s: %v", vmstatFile, err)
	}
	return n
}

// touchHuge makes huge pages appear in so many regions.
func touchHuge(t *testing.T, regions int) {
	t.Helper()
	const size = 2 << 20
	m := mapped(t, -1, (regions+1)*size/os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, unix.MADV_HUGEPAGE)
	for i := range regions {
		m[(i+1)*size-1] = 1 // in the i-th aligned region, wherever m begins, or the next
	}
}
