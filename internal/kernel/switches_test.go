// SPDX-License-Identifier: Apache-2.0

package kernel

import "testing"

func TestSwitches(t *testing.T) {
	const ftrace, kprobes = "/proc/sys/kernel/ftrace_enabled", "/sys/kernel/debug/kprobes/enabled"
	m := fake(t, nil)
	for file, ask := range map[string]func() Finding{ftrace: m.Ftrace, kprobes: m.KprobesArmed} {
		if f := ask(); f.Answer != Unknown || f.Reason == "" {
			t.Errorf("%s cannot be read: %+v", file, f)
		}
		for _, step := range []struct {
			text string
			want Answer
		}{{"1\n", Yes}, {"0\n", No}, {"1\n", Yes}} {
			write(t, m, file, step.text)
			f := ask()
			if f.Answer != step.want || !f.Passing || (f.Remedy != "") != (step.want == No) {
				t.Errorf("%s is %q: %+v", file, step.text, f)
			}
		}
	}
}

// Whatever this kernel can do, with its function tracer off it cannot.
func TestNothingIsAttachedWhereItWouldNotRun(t *testing.T) {
	m := fake(t, map[string]string{"/proc/sys/kernel/ftrace_enabled": "0\n"})
	if f := m.OwnTypes(); f.Answer != Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
	for name, ask := range map[string]func(function, module string) Finding{
		"trampoline": m.Trampoline, "kprobe.multi": m.KprobeMulti,
	} {
		if f := ask("vfs_read", ""); f.Answer != No || !f.Passing || f.Remedy == "" {
			t.Errorf("%s: %+v, want a passing No with a remedy", name, f)
		}
	}
}
