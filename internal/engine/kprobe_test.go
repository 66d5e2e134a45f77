// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/cachestat"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestPinnedKprobesGoOn reads a cached file while no engine runs. Before Linux
// 5.15 kprobes cannot be pinned, and end with the engine.
func TestPinnedKprobesGoOn(t *testing.T) {
	kerneltest.VM(t, "needs kprobes")
	spec := kerneltest.Only(cachestat.Spec(), func(program string) bool {
		return strings.HasPrefix(program, "cachestat_read_end") || strings.HasPrefix(program, "cachestat_read_start")
	})
	// A file system that is nothing but page cache.
	ramfs := t.TempDir()
	if err := unix.Mount("none", ramfs, "ramfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(ramfs, unix.MNT_DETACH)
	const pages = 256
	file := filepath.Join(ramfs, "cached")
	if err := os.WriteFile(file, make([]byte, pages*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	hits := func(e *engine.Engine) float64 { return kerneltest.Read(t, e).Value("ebpf_page_cache_hits_total") }
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	var before float64
	leave(t, pinned(t, dir, spec), func(e *engine.Engine) { before = hits(e) })
	if _, err := os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	leave(t, pinned(t, dir, spec), func(e *engine.Engine) {
		if kerneltest.Kernel() == "5.10" {
			if len(adopted(e)) > 0 {
				t.Error("adopted kprobes that cannot be pinned")
			}
			return
		}
		if after := hits(e); len(adopted(e)) != 1 || after < before+pages {
			t.Errorf("adopted %v: %v hits, and %v after reading %d cached pages", adopted(e), before, after, pages)
		}
	})
}
