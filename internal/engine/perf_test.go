// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/memory"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestPinnedEventsFollowCPUs lets pages be touched while no engine runs, and
// after a CPU was off and on again meanwhile, which ends its events.
func TestPinnedEventsFollowCPUs(t *testing.T) {
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	run := func(during func(e *engine.Engine, faults func() int)) {
		cfg := pinned(t, dir, memory.Spec())
		cfg.Options = map[string]collector.Value{"memory.processes": true}
		leave(t, cfg, func(e *engine.Engine) {
			during(e, func() int {
				return int(kerneltest.Read(t, e).Value("ebpf_page_faults_by_process_total", "process=pinned-faulter", "type=minor"))
			})
		})
	}
	// The thread's own faults, of its stack and such, are few.
	const pages, own = 1000, 100
	check := func(when string, got, want int) {
		t.Helper()
		if got < want || got > want+own {
			t.Errorf("%s: %d faults, %d pages were touched", when, got, want)
		}
	}
	cpus := kerneltest.CPUs(t)
	last := cpus[len(cpus)-1]
	run(func(e *engine.Engine, faults func() int) {
		kerneltest.Fault(t, "pinned-faulter", last, pages)
		check("at first", faults(), pages)
	})
	if kerneltest.Kernel() == "5.10" {
		run(func(e *engine.Engine, faults func() int) {
			if len(adopted(e)) > 0 {
				t.Error("adopted events that cannot be pinned")
			}
		})
		return
	}
	kerneltest.Fault(t, "pinned-faulter", last, pages)
	run(func(e *engine.Engine, faults func() int) {
		if len(adopted(e)) != 1 {
			t.Fatalf("not adopted: %+v", e.States()[0])
		}
		check("adopted", faults(), 2*pages)
	})
	if kerneltest.Kernel() == "" {
		return // CPUs are turned off in the matrix's own machines only
	}
	for _, state := range []string{"0", "1"} {
		if err := os.WriteFile("/sys/devices/system/cpu/cpu1/online", []byte(state), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(func(e *engine.Engine, faults func() int) {
		before := faults() // which looks for CPUs
		kerneltest.Fault(t, "pinned-faulter", 1, pages)
		check("CPU that was off", faults()-before, pages)
	})
	before := below(t, dir)
	kerneltest.Fault(t, "pinned-faulter", 1, pages)
	run(func(e *engine.Engine, faults func() int) {
		check("CPU that was off, then adopted", faults(), 4*pages)
	})
	if after := below(t, dir); len(after.links) != len(before.links) {
		t.Errorf("%d links, %d before: one for each CPU and program", len(after.links), len(before.links))
	}
}
