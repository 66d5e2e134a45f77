// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestWithoutCgroups: the program that does not ask for cgroups loads where tasks
// have none (CONFIG_CGROUPS).
func TestWithoutCgroups(t *testing.T) {
	known, err := kerneltest.Open(t).Spec()
	if err != nil {
		t.Fatal(err)
	}
	known = known.Copy() // the types are changed in place
	var types []btf.Type
	for typ, err := range known.All() {
		if err != nil {
			t.Fatal(err)
		}
		if task, ok := typ.(*btf.Struct); ok && task.Name == "task_struct" {
			had := len(task.Members)
			task.Members = slices.DeleteFunc(task.Members, func(m btf.Member) bool { return m.Name == "cgroups" })
			if len(task.Members) == had {
				t.Fatal("tasks have no cgroups: the test shows nothing")
			}
		}
		types = append(types, typ)
	}
	changed, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	without, err := changed.Spec()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := loadFileops()
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Variables["cfg_rows"].Set(uint32(1)); err != nil { // or nobody would be asked to pay
		t.Fatal(err)
	}
	// The raw one: of what is typed, the kernel compares the types with its own.
	const name = "fileops_enter_raw"
	spec.Programs = map[string]*ebpf.ProgramSpec{name: spec.Programs[name]}
	loaded, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{KernelTypes: without},
	})
	if err != nil {
		t.Fatal(err)
	}
	loaded.Close()
}
