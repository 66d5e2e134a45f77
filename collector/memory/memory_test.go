// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const (
	latency   = "ebpf_page_fault_major_latency_microseconds"
	byProcess = "ebpf_page_faults_by_process_total"
)

// majorsOf are the major faults of all processes.
func majorsOf(n kerneltest.Numbers) (sum uint64) {
	for key, sample := range n {
		if strings.HasPrefix(key, byProcess+"{") && strings.HasSuffix(key, ",type=major}") {
			sum += uint64(sample.Value)
		}
	}
	return sum
}

// lost fails the test if an event was lost between two readings. Before the
// first one may have been: a fault that began before the collector did.
func lost(t *testing.T, before, after kerneltest.Numbers) {
	t.Helper()
	for key, sample := range after {
		if strings.HasPrefix(key, "kernscope_lost_events_total{") && sample.Value != before[key].Value {
			t.Errorf("%s grew from %v to %v", key, before[key].Value, sample.Value)
		}
	}
}

const touches = "3000 anonymous pages and 200 pages of a file touched for the first time"

// TestFaults touches 3000 anonymous pages and 200 pages of a file that are not
// in memory. What getrusage says of the thread must come out exactly; so must
// the latency's count and sum, in a window in which no other process had a
// major fault.
func TestFaults(t *testing.T) {
	e := kerneltest.Run(t, Spec(), "processes")
	fd, cold := file(t, disk(t), 4096)
	const tries = 20
	for try := range tries {
		forget(t, fd, cold)
		fresh := anonymous(t, 3000)
		before := kerneltest.Read(t, e)
		got := as(t, "faulty", func() time.Duration {
			write(fresh)
			return read(cold, 200)
		})
		after := kerneltest.Read(t, e)
		lost(t, before, after)

		if got.minor < 3000 || got.minor > 3020 || got.major != 200 {
			t.Fatalf("the workload had %d minor and %d major faults, want 3000 and 200", got.minor, got.major)
		}
		for kind, want := range map[string]uint64{"minor": got.minor, "major": got.major} {
			labels := []string{"process=faulty", "type=" + kind}
			kerneltest.Accuracy(t, kerneltest.Row{
				Metric: byProcess, Workload: touches + ": " + kind, Source: "getrusage",
			}, uint64(after.Value(byProcess, labels...)-before.Value(byProcess, labels...)), kerneltest.Exactly(want))
		}
		for name, least := range map[string]uint64{minors: got.minor, majors: got.major} {
			if n := uint64(after.Value(name) - before.Value(name)); n < least {
				t.Errorf("%s grew by %d, this process alone had %d", name, n, least)
			}
		}
		n0, sum0 := before.Hist(latency)
		n, sum := after.Hist(latency)
		n, sum = n-n0, sum-sum0
		if others := majorsOf(after) - majorsOf(before) - got.major; others != 0 {
			t.Logf("try %d: %d major faults of others, %d latencies", try, others, n)
			continue
		}
		if n != got.major {
			t.Errorf("%d latencies of %d major faults", n, got.major)
		}
		// A fault begins and ends while its page is touched. More than half
		// of that time unobserved would be a start seen too late.
		if touching := uint64(got.touching); sum > touching {
			t.Errorf("the faults took %d ns, touching the pages %d ns", sum, touching)
		} else if sum < touching/2 {
			t.Logf("try %d: the faults took %d ns of %d ns", try, sum, touching)
			continue
		}
		t.Logf("minor %d, major %d, %d latencies of %d ns in %v", got.minor, got.major, n, sum, got.touching)
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: latency, Workload: touches + ": number of latencies", Source: "getrusage",
		}, n, kerneltest.Exactly(got.major))
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: latency, Workload: touches + ": sum of latencies", Source: "the program's clock around each touch",
		}, time.Duration(sum), kerneltest.Truth[time.Duration]{
			Least: got.touching, Most: got.touching, Below: got.touching / 2,
			Why: "A fault is a part of what it takes to touch a page; the way into the kernel and back is another, and under emulation a longer one.",
		})
		return
	}
	t.Errorf("no quiet window in %d tries", tries)
}
