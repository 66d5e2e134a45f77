// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestPinnedModuleIsLoadedAnew loads the module anew while the collector runs
// and is pinned, while nobody runs, and while it is not loaded at the next start.
// Every link is counted once, and of what was attached to an earlier load
// nothing stays.
func TestPinnedModuleIsLoadedAnew(t *testing.T) {
	kerneltest.VM(t, needsModules)
	if kerneltest.Kernel() == "5.10" {
		testUnpinnable(t)
		return
	}
	unloadModule(t)
	watchKernel(t)
	loadModule(t)
	defer unloadModule(t)
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	counts := func(e *engine.Engine, want int, when string) {
		t.Helper()
		if got := made(t, e); got != want {
			t.Errorf("%s: counted %d links, %d were made", when, got, want)
		}
	}

	leave(t, pinned(t, dir, links("kprobe")), func(*engine.Engine) { makeLinks(t, 2) })
	makeLinks(t, 3)
	first := below(t, dir)

	cfg := pinned(t, dir, links("kprobe"))
	log := logged(&cfg)
	leave(t, cfg, func(e *engine.Engine) {
		e.Follow()
		if len(adopted(e)) != 1 {
			t.Fatalf("not adopted: %+v", e.States()[0])
		}
		counts(e, 5, "adopted")
		if err := e.Pin(); err != nil {
			t.Fatal(err)
		}
		if same := below(t, dir); !slices.Equal(first.programs, same.programs) {
			t.Errorf("programs %v were replaced by %v", first.programs, same.programs)
		}
		unloadModule(t)
		loadModule(t)
		until(t, "attached anew", func() bool { return log.count("Attached") == 1 })
		makeLinks(t, 7)
		counts(e, 12, "loaded anew while it ran")
		first.areGone(t)
	})
	if n := len(log.all()); n > 2 { // it may not have seen that the module went
		t.Errorf("attached anew, and %d lines of the log say so:\n%s", n, strings.Join(log.all(), ""))
	}
	makeLinks(t, 11)
	second := below(t, dir)

	unloadModule(t)
	loadModule(t)
	makeLinks(t, 1) // of which nobody can know
	leave(t, pinned(t, dir, links("kprobe")), func(e *engine.Engine) {
		counts(e, 23, "loaded anew while nobody ran")
		makeLinks(t, 13)
		counts(e, 36, "attached anew")
	})
	second.areGone(t)
	makeLinks(t, 17)
	third := below(t, dir)

	unloadModule(t)
	leave(t, pinned(t, dir, links("kprobe")), func(e *engine.Engine) {
		becomes(t, e, engine.Waiting)
	})
	if same := below(t, dir); !slices.Equal(third.programs, same.programs) {
		t.Errorf("programs %v were replaced by %v while the collector waited", third.programs, same.programs)
	}
	cfg = pinned(t, dir, links("kprobe"))
	leave(t, cfg, func(e *engine.Engine) {
		e.Follow()
		becomes(t, e, engine.Waiting)
		if err := e.Pin(); err != nil {
			t.Fatal(err)
		}
		loadModule(t)
		becomes(t, e, engine.Running)
		counts(e, 53, "waited for")
		makeLinks(t, 19)
		counts(e, 72, "waited for and attached")
	})
	third.areGone(t)
	last := below(t, dir)
	if _, err := cfg.Pins.Remove(); err != nil {
		t.Fatal(err)
	}
	last.areGone(t)
}

// testUnpinnable loads the module anew where kprobes cannot be pinned: that is
// no reason to lose a count.
func testUnpinnable(t *testing.T) {
	unloadModule(t)
	watchKernel(t)
	loadModule(t)
	defer unloadModule(t)
	cfg := pinned(t, filepath.Join(kerneltest.BPFFS(t), "kernscope"), links("kprobe"))
	log := logged(&cfg)
	leave(t, cfg, func(e *engine.Engine) {
		e.Follow()
		if err := e.Pin(); err != nil {
			t.Fatal(err)
		}
		makeLinks(t, 2)
		unloadModule(t)
		becomes(t, e, engine.Waiting)
		loadModule(t)
		becomes(t, e, engine.Running)
		makeLinks(t, 3)
		if got := made(t, e); got != 5 {
			t.Errorf("counted %d links, 5 were made", got)
		}
	})
	if n := log.count("Not pinned"); n == 0 {
		t.Errorf("nothing says that the collector is not pinned:\n%s", strings.Join(log.all(), ""))
	}
}
