// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"testing"

	"github.com/kernscope/kernscope/internal/kernel"
)

// noSuch is in no kernel.
const noSuch = "kernscope_no_such_function"

func open(t *testing.T) *kernel.Machine {
	t.Helper()
	machine, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if f := machine.Access(); f.Answer != kernel.Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
	return machine
}

func TestFunction(t *testing.T) {
	machine := open(t)
	if f := machine.Function("vfs_read", ""); f.Answer != kernel.Yes {
		t.Errorf("vfs_read: %+v", f)
	}
	if f := machine.Function(noSuch, ""); f.Answer != kernel.No || f.Reason == "" {
		t.Errorf("%s: %+v, want No with a reason", noSuch, f)
	}
}

// Whether this kernel can attach to functions is not known here, but it can
// not be in doubt, nor differ between functions that may be traced.
func TestAttachingToFunctions(t *testing.T) {
	machine := open(t)
	for name, ask := range map[string]func(function, module string) kernel.Finding{
		"trampoline": machine.Trampoline,
		"kprobe":     machine.Kprobe,
	} {
		read, write := ask("vfs_read", ""), ask("vfs_write", "")
		t.Logf("%s: %+v", name, read)
		if read.Answer == kernel.Unknown || read.Answer != write.Answer {
			t.Errorf("%s: vfs_read %+v, vfs_write %+v", name, read, write)
		}
		if (read.Answer == kernel.Yes) == (read.Reason != "") {
			t.Errorf("%s: a reason belongs to a refusal: %+v", name, read)
		}
		if f := ask(noSuch, ""); f.Answer != kernel.No || f.Reason == "" {
			t.Errorf("%s to %s: %+v, want No with a reason", name, noSuch, f)
		}
	}
}
