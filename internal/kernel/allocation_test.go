// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
)

// The kernel refuses such maps to programs of perf events, without a warning,
// if and only if its rule is that of other programs.
func TestPreallocateIsTheKernelsRule(t *testing.T) {
	machine := open(t)
	for _, kind := range []ebpf.MapType{ebpf.Hash, ebpf.PerCPUHash} {
		m, err := ebpf.NewMap(&ebpf.MapSpec{
			Type: kind, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: unix.BPF_F_NO_PREALLOC,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.PerfEvent,
			Instructions: asm.Instructions{
				asm.LoadMapPtr(asm.R1, m.FD()), asm.Mov.Imm(asm.R0, 0), asm.Return(),
			},
			License: "GPL",
		})
		want := kernel.No
		if errors.Is(err, unix.EINVAL) {
			want = kernel.Yes
		} else if err != nil {
			t.Fatal(err)
		}
		prog.Close()
		if f := machine.Preallocate(); f.Answer != want {
			t.Errorf("%v: %+v, want %d: %v", kind, f, want, err)
		}
	}
}

func TestFitMaps(t *testing.T) {
	machine := open(t)
	of := func(kind ebpf.MapType) *ebpf.MapSpec {
		return &ebpf.MapSpec{Name: kind.String(), Type: kind, Flags: unix.BPF_F_NO_PREALLOC | unix.BPF_F_RDONLY_PROG}
	}
	maps := map[string]*ebpf.MapSpec{
		"hash": of(ebpf.Hash), "percpu": of(ebpf.PerCPUHash), "trie": of(ebpf.LPMTrie), "storage": of(ebpf.TaskStorage),
	}
	uses := func(name string) kernel.Finding {
		return machine.Maps(&ebpf.ProgramSpec{
			Type:         ebpf.RawTracepoint,
			Instructions: asm.Instructions{asm.LoadMapPtr(asm.R1, 0).WithReference(name)},
		}, maps)
	}
	must := machine.Preallocate().Answer == kernel.Yes
	if f := uses("percpu"); (f.Answer == kernel.No) != must {
		t.Errorf("before: %+v, but all memory is needed from the start: %v", f, must)
	}
	machine.FitMaps(maps)
	for name, m := range maps {
		want := uint32(unix.BPF_F_NO_PREALLOC | unix.BPF_F_RDONLY_PROG)
		if must && (name == "hash" || name == "percpu") {
			want = unix.BPF_F_RDONLY_PROG
		}
		if m.Flags != want {
			t.Errorf("%s: flags %#x, want %#x", name, m.Flags, want)
		}
	}
	for _, name := range []string{"hash", "percpu"} {
		if f := uses(name); f.Answer != kernel.Yes {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
