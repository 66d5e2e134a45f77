// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const (
	latency   = "ebpf_page_fault_major_latency_microseconds"
	byProcess = "ebpf_page_faults_by_process_total"
)

// majorsOf returns the major faults of all processes.
func majorsOf(n kerneltest.Numbers) (sum uint64) {
	for key, sample := range n {
		if strings.HasPrefix(key, byProcess+"{") && strings.HasSuffix(key, ",type=major}") {
			sum += uint64(sample.Value)
		}
	}
	return sum
}

// lost fails the test if an event was lost between two readings. A major fault
// of others may be: if it began before the collector did. They had so many since
// then, and a moment before.
func lost(t testing.TB, before, after kerneltest.Numbers, others uint64) {
	t.Helper()
	for key, sample := range after {
		if !strings.HasPrefix(key, "kernscope_lost_events_total{") {
			continue
		}
		none := kerneltest.Exactly(0.0)
		if strings.HasSuffix(key, ",reason=major_without_start}") {
			none = none.Beside(0, float64(others), fmt.Sprintf("others had %d major faults", others))
		}
		kerneltest.Check(t, key, sample.Value-before[key].Value, none)
	}
}

const touching = "3000 anonymous pages and 200 pages of a file touched for the first time"

// TestFaults touches 3000 anonymous pages and 200 pages of a file that are not
// in memory. What getrusage says of the thread must come out exactly. So must
// the latency's count and sum, but for the major faults of others, which the
// kernel counts in /proc/vmstat.
func TestFaults(t *testing.T) {
	start, own := kernelCounts(t), uint64(0)
	e := kerneltest.Run(t, Spec(), "processes")
	fd, cold := file(t, disk(t), 4096)
	kerneltest.Conclusive(t, 20, func(a *kerneltest.Attempt) {
		forget(a, fd, cold)
		fresh := anonymous(a, 3000)
		before := kerneltest.Read(a, e)
		got := as(a, kerneltest.Own("faulty"), func() touches {
			write(fresh)
			return read(cold, 200)
		})
		after := kerneltest.Read(a, e)
		own += got.major
		// Those of others since the collector began: one may have been under way
		// for long when the attempt did.
		all := kernelCounts(a).major - start.major
		others := all - min(all, own)
		lost(a, before, after, others)

		if got.minor < 3000 || got.minor > 3020 || got.major != 200 {
			a.Void("the workload had %d minor and %d major faults, want 3000 and 200", got.minor, got.major)
		}
		for kind, want := range map[string]uint64{"minor": got.minor, "major": got.major} {
			labels := []string{"process=" + kerneltest.Own("faulty"), "type=" + kind}
			kerneltest.Accuracy(a, kerneltest.Row{
				Metric: byProcess, Workload: touching + ": " + kind, Source: "getrusage",
			}, uint64(after.Value(byProcess, labels...)-before.Value(byProcess, labels...)), kerneltest.Exactly(want))
		}
		for name, least := range map[string]uint64{minors: got.minor, majors: got.major} {
			if n := uint64(after.Value(name) - before.Value(name)); n < least {
				a.Errorf("%s grew by %d, this process alone had %d", name, n, least)
			}
		}
		checkLatency(a, before, after, got, others)
	})
}

// checkLatency compares the latencies of the major faults of a thread, beside
// which others had so many.
func checkLatency(a *kerneltest.Attempt, before, after kerneltest.Numbers, got usage, others uint64) {
	a.Helper()
	n0, sum0 := before.Hist(latency)
	n, sum := after.Hist(latency)
	n, sum = n-n0, sum-sum0
	a.Logf("minor %d, major %d, %d latencies of %d ns in %v", got.minor, got.major, n, sum, got.sum)
	kerneltest.Accuracy(a, kerneltest.Row{
		Metric: latency, Workload: touching + ": number of latencies", Source: "getrusage",
	}, n, kerneltest.Exactly(got.major).Beside(0, others, fmt.Sprintf("others had %d major faults", others)))
	if n != got.major {
		return // the sum is of more
	}
	// A fault begins and ends while its page is touched. More than half of
	// that time unobserved would be a start seen too late, unless the thread
	// waited for a CPU meanwhile, or the machine stood still once.
	less := min(got.waited+got.longest, got.sum/2)
	kerneltest.Accuracy(a, kerneltest.Row{
		Metric: latency, Workload: touching + ": sum of latencies", Source: "the program's clock around each touch",
	}, time.Duration(sum), kerneltest.Truth[time.Duration]{
		Least: got.sum, Most: got.sum, Below: got.sum / 2,
		Why: "A fault is a part of what it takes to touch a page; the way into the kernel and back is another, and under emulation a longer one.",
	}.Beside(less, 0, fmt.Sprintf("the thread waited %v for a CPU, and %v for one page", got.waited, got.longest)))
}
