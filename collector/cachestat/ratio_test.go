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

// ratio returns the gauge, and whether it is there.
func ratio(t testing.TB, e *engine.Engine) (float64, bool) {
	t.Helper()
	sample, ok := kerneltest.Read(t, e)[hitRatio+"{}"]
	return sample.Value, ok
}

// TestHitRatio reads a file cold once and warm three times in one window, by
// a clock that only moves when the test sleeps. More scrapes change nothing.
func TestHitRatio(t *testing.T) {
	f := newFile(t, filesystems[0].dir(t), "file", pages)
	w := waysHere(t)[0]
	synctest.Test(t, func(t *testing.T) {
		kerneltest.Conclusive(t, attempts, func(a *kerneltest.Attempt) {
			f.t = a
			f.drop()
			r := watch(a, f)
			e := kerneltest.Run(a, w.only(a, f.Name()))
			for range 4 {
				sequential(64 << 10)(f)
			}
			if _, ok := ratio(a, e); ok {
				a.Error("there is a ratio before the first window is full")
			}
			time.Sleep(16 * time.Second)
			first, ok := ratio(a, e)
			if !ok {
				a.Error("there is no ratio after the first window")
			}
			kerneltest.Accuracy(a, kerneltest.Row{
				Metric: hitRatio, Workload: "a file read cold once, and warm three times", Source: "the workload",
			}, first, kerneltest.Exactly(0.75))
			for range 20 {
				sequential(64 << 10)(f)
				if again, _ := ratio(a, e); again != first {
					a.Fatalf("the ratio of the last full window went from %v to %v", first, again)
				}
				time.Sleep(500 * time.Millisecond)
			}
			time.Sleep(5 * time.Second)
			if second, ok := ratio(a, e); !ok || second != 1 {
				a.Errorf("ratio %v (there: %v) after 20 warm readings, want 1", second, ok)
			}
			if r.ends(); r.pages > 0 {
				a.Disturbed("the kernel took %d pages from the page cache (cachestat(2), /proc/vmstat)", r.pages)
			}
		})
	})
}
