// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const orders = "ebpf_page_alloc_order"

func kernelCounts(t testing.TB) vmstat {
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

// doubles reports whether the kernel counts a fault that had to wait once more
// in pgfault.
func doubles(t testing.TB) bool {
	return kerneltest.Open(t).Enumerator("fault_flag", "FAULT_FLAG_VMA_LOCK").Reason != ""
}

// TestMinorFaultsAgainstVmstat compares growth with that of /proc/vmstat. On
// kernels that count faults that had to wait twice, that is what is added to
// our counts of both.
//
// What programs do not see of our own faults is fewer than 1 %; of others', who
// may execute programs all the time, it may be all.
func TestMinorFaultsAgainstVmstat(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	fd, cold := file(t, disk(t), 4096)
	kerneltest.Conclusive(t, 6, func(a *kerneltest.Attempt) {
		forget(a, fd, cold)
		fresh := anonymous(a, 30000)

		outer := kernelCounts(a)
		before := kerneltest.Read(a, e)
		inner := kernelCounts(a)
		got := as(a, "faulty", func() touches {
			write(fresh)
			return read(cold, 200)
		})
		innerGrowth := kernelCounts(a).since(inner)
		after := kerneltest.Read(a, e)
		outerGrowth := kernelCounts(a).since(outer)

		minor := uint64(after.Value(minors) - before.Value(minors))
		major := uint64(after.Value(majors) - before.Value(majors))
		if minor < got.minor || major < got.major {
			a.Errorf("%d minor and %d major faults, the workload alone had %d and %d", minor, major, got.minor, got.major)
		}
		beyond := major // what pgfault has besides
		if doubles(a) {
			beyond += major
		}
		others := outerGrowth.faults - min(outerGrowth.faults, got.minor+got.major)
		const workload = "30,000 anonymous pages and 200 pages of a file touched for the first time, by all of the machine"
		kerneltest.Accuracy(a, kerneltest.Row{Metric: minors, Source: vmstatFile, Workload: workload},
			minor, kerneltest.Truth[uint64]{
				Least: innerGrowth.faults - beyond, Most: outerGrowth.faults - beyond,
				Below: got.minor / 100, Above: got.major / 100,
				Why: readings + " Programs do not see what the kernel faults in on behalf of a process, as at exec.",
			}.Beside(others, others, fmt.Sprintf("others had %d faults", others)))
		kerneltest.Accuracy(a, kerneltest.Row{Metric: majors, Source: vmstatFile, Workload: workload},
			major, kerneltest.Truth[uint64]{Least: innerGrowth.major, Most: outerGrowth.major, Why: readings})
		a.Logf("minor %d, major %d; pgfault grew by %d to %d, pgmajfault by %d", minor, major, innerGrowth.faults, outerGrowth.faults, outerGrowth.major)
	})
}

const allocates = "30,000 anonymous pages and 8 huge ones touched for the first time: pages allocated by all of the machine"

// TestAllocations compares the orders' histogram with the pages that the kernel
// counts as allocated. The tracepoint fires after the kernel has counted, so
// what it saw can never be more than an outer window holds. It can be less than
// an inner window holds, because it does not fire for pages that are allocated
// in bulk (vmalloc, network drivers): of our own fewer than 1 %, of others' it
// may be all.
func TestAllocations(t *testing.T) {
	start := kernelCounts(t)
	e := kerneltest.Run(t, Spec())
	kerneltest.Conclusive(t, 6, func(a *kerneltest.Attempt) {
		const single, regions = 30000, 8
		outer := kernelCounts(a)
		before := kerneltest.Read(a, e)
		inner := kernelCounts(a)
		hugeBefore := hugeAllocations(a)
		write(anonymous(a, single))
		touchHuge(a, regions)
		huge := hugeAllocations(a) - hugeBefore
		innerGrowth := kernelCounts(a).since(inner)
		after := kerneltest.Read(a, e)
		outerGrowth := kernelCounts(a).since(outer)
		lost(a, before, after, kernelCounts(a).major-start.major)

		if huge < regions {
			a.Void("the kernel had %d huge pages for %d regions", huge, regions)
		}
		old, now := before[orders+"{}"].Linear, after[orders+"{}"].Linear
		if old == nil || now == nil || now.Highest != 10 {
			a.Fatalf("histograms are %+v and %+v", old, now)
		}
		var pages uint64
		for order := range now.Counts {
			pages += (now.Counts[order] - old.Counts[order]) << order
		}
		if n := now.Counts[0] - old.Counts[0]; n < single {
			a.Errorf("%d allocations of one page, the workload alone had %d", n, single)
		}
		order := hugeOrder()
		if n := now.Counts[order] - old.Counts[order]; n < huge {
			a.Errorf("%d allocations of order %d, the kernel counted %d huge pages", n, order, huge)
		}
		own := single + huge<<order
		others := outerGrowth.allocated - min(outerGrowth.allocated, own)
		kerneltest.Accuracy(a, kerneltest.Row{
			Metric: orders, Workload: allocates + ", each order's allocations times its pages", Source: vmstatFile,
		}, pages, kerneltest.Truth[uint64]{
			Least: innerGrowth.allocated, Most: outerGrowth.allocated, Below: own / 100,
			Why: readings + " The order is not told of pages that are allocated in bulk.",
		}.Beside(others, 0, fmt.Sprintf("others allocated %d pages", others)))
		kerneltest.Accuracy(a, kerneltest.Row{Metric: allocations, Workload: allocates, Source: vmstatFile},
			uint64(after.Value(allocations)-before.Value(allocations)),
			kerneltest.Truth[uint64]{Least: innerGrowth.allocated, Most: outerGrowth.allocated, Why: readings})
	})
}

// hugeOrder returns the order of a huge page: 2 MiB of 4 KiB pages.
func hugeOrder() int {
	order := 0
	for size := os.Getpagesize(); size < 2<<20; size *= 2 {
		order++
	}
	return order
}

// hugeAllocations returns the huge pages that faults have made.
func hugeAllocations(t testing.TB) uint64 {
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
func touchHuge(t testing.TB, regions int) {
	t.Helper()
	const size = 2 << 20
	m := mapped(t, -1, (regions+1)*size/os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, unix.MADV_HUGEPAGE)
	for i := range regions {
		m[(i+1)*size-1] = 1 // in the i-th aligned region, wherever m begins, or the next
	}
}
