// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestWallClockIsSet sets the wall clock back and forth while a collector counts,
// and while none of its processes runs: it began as long ago as before.
func TestWallClockIsSet(t *testing.T) {
	kerneltest.VM(t, "sets the wall clock")
	set := func(by time.Duration) {
		t.Helper()
		now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
		if err := unix.Settimeofday(&now); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	start := time.Now() // with the monotonic clock, which is not set
	check := func(when string, e *engine.Engine) {
		t.Helper()
		kerneltest.ReadAs(t, "clock-reader", 1)
		ago := time.Now().Round(0).Sub(created(t, e))
		if most := time.Since(start); ago < 0 || ago > most {
			t.Errorf("%s: it began %v ago, the test %v", when, ago, most)
		}
	}
	leave(t, pinned(t, dir, fileops.Spec()), func(e *engine.Engine) {
		check("at first", e)
		set(-24 * time.Hour)
		check("set back", e)
	})
	set(48 * time.Hour)
	leave(t, pinned(t, dir, fileops.Spec()), func(e *engine.Engine) {
		if len(adopted(e)) != 1 {
			t.Fatal("not adopted")
		}
		check("set forward, adopted", e)
		set(-24 * time.Hour)
		check("set back again", e)
	})
}
