// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"strings"
	"testing"
)

const symbolList = `0000000000000000 A fixed_percpu_data
0000000000000000 T vfs_read
0000000000000000 t common
0000000000000000 W weak
0000000000000000 D some_data
0000000000000000 t other_common	[dm_mod]
0000000000000000 t plain	[wireguard]
0000000000000000 t plain.cold	[wireguard]
0000000000000000 T exported	[wireguard]
0000000000000000 t gone.isra.0	[wireguard]
0000000000000000 t gone.isra.0.cold	[wireguard]
0000000000000000 t split	[wireguard]
0000000000000000 t split.constprop.0	[wireguard]
0000000000000000 t twice	[wireguard]
0000000000000000 t twice	[wireguard]
0000000000000000 t common	[wireguard]
0000000000000000 d a_variable	[wireguard]
0000000000000000 t shared	[wireguard]
0000000000000000 t shared	[zfs]
0000000000000000 t bpf_prog_6deef7357e7b4530_plain	[bpf]
`

func TestFunctionOfModule(t *testing.T) {
	m := fake(t, map[string]string{
		"/proc/modules":                   loadedModules,
		"/sys/module/wireguard/initstate": "live\n",
		"/proc/kallsyms":                  symbolList,
	})
	for name, reason := range map[string]string{
		"plain":       "",
		"exported":    "",
		"gone":        "gone.isra.0",
		"gone.isra.0": "no function",
		"split":       "split.constprop.0",
		"twice":       "2 functions",
		"common":      "this kernel has a function common too",
		"shared":      "module zfs has a function shared too",
		"a_variable":  "no function",
		"vfs_read":    "no function",
		"other":       "no function",
	} {
		f := m.Function(name, "wireguard")
		if want := map[bool]Answer{true: Yes, false: No}[reason == ""]; f.Answer != want || !strings.Contains(f.Reason, reason) {
			t.Errorf("%s: %+v, want %d with %q", name, f, want, reason)
		}
	}
}

// The list is too long to be kept, so it must be read line by line, however
// long a line is.
func TestSymbolsThatCannotBeRead(t *testing.T) {
	m := fake(t, map[string]string{
		"/proc/modules":                   loadedModules,
		"/sys/module/wireguard/initstate": "live\n",
	})
	if f := m.Function("plain", "wireguard"); f.Answer != Unknown || f.Reason == "" {
		t.Errorf("without a list: %+v", f)
	}
	write(t, m, "/proc/kallsyms", strings.Repeat("x", 100<<10)+"\n"+symbolList)
	if f := m.Function("plain", "wireguard"); f.Answer != Unknown || f.Reason == "" {
		t.Errorf("with a line that has no end: %+v", f)
	}
	write(t, m, "/proc/kallsyms", symbolList)
	if f := m.Function("plain", "wireguard"); f.Answer != Yes {
		t.Errorf("with the list: %+v", f)
	}
}

func TestReleaseForgetsSymbols(t *testing.T) {
	m := fake(t, map[string]string{
		"/proc/modules":                   loadedModules,
		"/sys/module/wireguard/initstate": "live\n",
		"/proc/kallsyms":                  symbolList,
	})
	m.Function("plain", "wireguard")
	m.Release()
	for name, l := range m.known {
		if l.symbols != nil || l.types != nil {
			t.Errorf("%q: symbols or types are kept", name)
		}
	}
}
