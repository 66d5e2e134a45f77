// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// followed is the module that the made-up collector observes, newLink a function
// of it, which runs once for each network interface that is made.
const (
	followed = "wireguard"
	newLink  = "wg_newlink"
)

// links returns a collector of the module that counts calls of newLink. Its
// ways are of these kinds, "kprobe" or "kprobe.multi", best first.
func links(kinds ...string) collector.Spec {
	programs := make(map[string]*ebpf.ProgramSpec)
	var ways []string
	for _, kind := range kinds {
		name := "links_" + strings.ReplaceAll(kind, ".", "_")
		ways = append(ways, name)
		programs[name] = countProgram(name, kind+"/"+newLink)
	}
	return collector.Spec{
		Name: "links", Help: "Interfaces that were made.",
		Load: func() (*ebpf.CollectionSpec, error) {
			count := &btf.Int{Name: "__u64", Size: 8}
			return (&ebpf.CollectionSpec{
				Programs: programs,
				Maps: map[string]*ebpf.MapSpec{"links": {
					Name: "links", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
					Key: &btf.Int{Name: "__u32", Size: 4}, Value: count,
				}},
			}).Copy(), nil
		},
		Module: &collector.Module{Name: followed},
		Needs: []collector.Need{{
			Why:          "perf's kprobes take it where kernel.perf_event_paranoid is above 2",
			Capabilities: []string{"CAP_SYS_ADMIN"},
		}},
		Hooks:   []collector.Hook{{Name: "new link", Ways: collector.By(ways...)}},
		Metrics: []collector.Metric{{Name: "test_links_total", Help: "x", Kind: collector.Counter, Map: "links"}},
	}
}

// countProgram returns a program that adds one to the only element of map
// links.
func countProgram(name, section string) *ebpf.ProgramSpec {
	kind, function, _ := strings.Cut(section, "/")
	p := &ebpf.ProgramSpec{
		Name: name, Type: ebpf.Kprobe, SectionName: section, AttachTo: function, License: "GPL",
		Instructions: asm.Instructions{
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.LoadMapPtr(asm.R1, 0).WithReference("links"),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "end"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
			asm.Return(),
		},
	}
	if kind == "kprobe.multi" {
		p.AttachType = ebpf.AttachTraceKprobeMulti
	}
	return p
}

// makeLinks makes interfaces, so that newLink runs so often, and removes them.
// It loads no module.
func makeLinks(t *testing.T, n int) {
	t.Helper()
	if !isLoaded() {
		t.Fatalf("module %s is not loaded", followed)
	}
	var batch strings.Builder
	for i := range n {
		fmt.Fprintf(&batch, "link add test%d type %s\nlink del test%d\n", i, followed, i)
	}
	file := t.TempDir() + "/batch"
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	kerneltest.Command(t, "ip", "-batch", file)
}

// made returns how many links the collector has counted.
func made(t *testing.T, e *engine.Engine) int {
	t.Helper()
	return int(kerneltest.Read(t, e).Value("test_links_total"))
}

// loadModule loads the module, which is not loaded. What it needs stays loaded when
// it goes, which is quicker.
func loadModule(t *testing.T) {
	t.Helper()
	kerneltest.LoadModule(t, followed)
}

// unloadModule unloads the module if it is loaded. It fails if anything uses
// the module.
func unloadModule(t *testing.T) {
	t.Helper()
	if isLoaded() {
		kerneltest.Command(t, "rmmod", followed)
	}
}

func isLoaded() bool {
	_, err := os.Stat("/sys/module/" + followed)
	return err == nil
}
