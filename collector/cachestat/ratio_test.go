// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const hitRatio = "ebpf_page_cache_hit_ratio"

// ratio is the gauge, and whether it is there.
func ratio(t *testing.T, e *engine.Engine) (float64, bool) {
	t.Helper()
	sample, ok := kerneltest.Read(t, e)[hitRatio+"{}"]
	return sample.Value, ok
}

// TestHitRatio reads a file cold once and warm three times in one window, by
// a clock that only moves when the test sleeps. Others' reads are hits and
// misses too, hence an interval for the ratio; more scrapes change nothing.
func TestHitRatio(t *testing.T) {
	f := newFile(t, filesystems[0].dir(t), "file", pages)
	kerneltest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		e := kerneltest.Run(t, Spec())
		f.t = t
		for range 4 {
			sequential(64 << 10)(f)
		}
		if _, ok := ratio(t, e); ok {
			t.Error("there is a ratio before the first window is full")
		}
		time.Sleep(16 * time.Second)
		first, ok := ratio(t, e)
		if !ok {
			t.Error("there is no ratio after the first window")
		}
		others := 0.15
		if kerneltest.Kernel() != "" { // nobody else reads
			others = 0.01
		}
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: hitRatio, Workload: "a file read cold once, and warm three times", Source: "the workload",
		}, first, kerneltest.Truth[float64]{
			Least: 0.75, Most: 0.75, Below: others, Above: others,
			Why: "Reads of others are in the ratio, too; and where only the tracepoint can be used, it does not show all.",
		})
		for range 20 {
			sequential(64 << 10)(f)
			if again, _ := ratio(t, e); again != first {
				t.Fatalf("the ratio of the last full window went from %v to %v", first, again)
			}
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if second, ok := ratio(t, e); !ok || second <= first {
			t.Errorf("ratio %v (there: %v) after 20 warm readings, want more than %v", second, ok, first)
		}
	})
}
