// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// calls returns a collector that counts calls of nfsservctl(2), which nobody else makes: no kernel
// has it any more. Its option changes nothing.
func calls() collector.Spec {
	return collector.Spec{
		Name: "calls", Help: "x",
		Load: func() (*ebpf.CollectionSpec, error) {
			body := countProgram("calls", "").Instructions
			return &ebpf.CollectionSpec{
				Programs: map[string]*ebpf.ProgramSpec{"calls": {
					Name: "calls", Type: ebpf.RawTracepoint, SectionName: "raw_tp/sys_enter", AttachTo: "sys_enter", License: "GPL",
					Instructions: append(asm.Instructions{
						asm.LoadMem(asm.R0, asm.R1, 8, asm.DWord), // the call's number
						asm.JNE.Imm(asm.R0, unix.SYS_NFSSERVCTL, "end"),
					}, body...),
				}},
				Maps: map[string]*ebpf.MapSpec{"links": {
					Name: "links", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
					Key: &btf.Int{Name: "__u32", Size: 4}, Value: &btf.Int{Name: "__u64", Size: 8},
				}},
			}, nil
		},
		Options: []collector.Option{{Name: "nothing", Help: "x"}},
		Hooks:   []collector.Hook{{Name: "call", Ways: collector.By("calls")}},
		Metrics: []collector.Metric{{Name: "test_links_total", Help: "x", Kind: collector.Counter, Map: "links"}},
	}
}

// TestPinnedCollectorIsAttachedAnew sets an option of a pinned collector while
// what it counts goes on: counts stay, and nothing is counted by both the old
// program and the new. When it is stopped nothing is counted, and nothing is
// pinned; when it is started again it is pinned again.
func TestPinnedCollectorIsAttachedAnew(t *testing.T) {
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	e := engine.New(pinned(t, dir, calls()))
	defer e.Close()
	if err := e.Pin(); err != nil {
		t.Fatal(err)
	}
	var called atomic.Int64
	call := func() {
		unix.RawSyscall(unix.SYS_NFSSERVCTL, 0, 0, 0)
		called.Add(1)
	}
	ended := make(chan struct{})
	end := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				call()
			}
		}
	}()
	least := 0
	for i := range 5 {
		if err := e.Set(t.Context(), "calls", "nothing", i%2 == 0); err != nil {
			t.Fatal(err)
		}
		if counted := made(t, e); counted < least {
			t.Errorf("counted %d calls after %d", counted, least)
		} else {
			least = counted
		}
	}
	close(end)
	<-ended
	counted := made(t, e)
	t.Logf("counted %d of %d calls", counted, called.Load())
	if counted == 0 || counted > int(called.Load()) {
		t.Errorf("counted %d calls, %d were made", counted, called.Load())
	}
	found := below(t, dir)

	if err := e.Stop(t.Context(), "calls"); err != nil {
		t.Fatal(err)
	}
	found.areGone(t)
	call()
	if err := e.Start(t.Context(), "calls"); err != nil {
		t.Fatal(err)
	}
	call()
	if got := made(t, e); got != counted+1 {
		t.Errorf("counted %d calls, %d before it was stopped and 1 after it was started", got, counted)
	}
	below(t, dir)

	// A user removes all pins while the collector runs.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := e.Set(t.Context(), "calls", "nothing", false); err != nil {
		t.Error(err)
	}
	call()
	if got := made(t, e); got != counted+2 {
		t.Errorf("counted %d calls after the pins were removed, want %d", got, counted+2)
	}
}
