// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"os"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/cachestat"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestSilencedPrograms switches the kernel's function tracer off under programs
// that are attached by it. They stay attached and never run again, which only
// the switch tells.
func TestSilencedPrograms(t *testing.T) {
	kerneltest.VM(t, "switches the kernel's function tracer off")
	const file = "/proc/sys/kernel/ftrace_enabled"
	e := kerneltest.Run(t, cachestat.Spec())
	is := func(want engine.Status, reason string) {
		t.Helper()
		kerneltest.Read(t, e)
		if s := e.States()[0]; s.Status != want || !strings.Contains(s.Reason, reason) || (s.Remedy != "") != (reason != "") {
			t.Errorf("state %+v, want %s because %q", s, want, reason)
		}
	}
	is(engine.Running, "")
	t.Cleanup(func() { _ = os.WriteFile(file, []byte("1"), 0) })
	if err := os.WriteFile(file, []byte("0"), 0); err != nil {
		switch kerneltest.Kernel() {
		case "5.10", "7.x": // these refuse while programs are attached
			is(engine.Running, "")
			return
		}
		t.Fatal(err)
	}
	is(engine.Failed, "kernel.ftrace_enabled=0")
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	is(engine.Running, "")
}
