// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// FuzzSymbols checks that any list of symbols can be read, and that a line which is none hides no
// function.
func FuzzSymbols(f *testing.F) {
	f.Add("ffffffff81000000 T _stext\n0000000000000000 t wg_xmit\t[wireguard]\n0000000000000000 t wg_xmit.cold\t[wireguard]\n")
	f.Add("x t \t[]\n t\n\n0 T a.b.c\t[wireguard]")
	f.Fuzz(func(t *testing.T, list string) {
		const line = "\n0000000000000000 t the_function\t[wireguard]\n"
		symbols, err := readSymbols(strings.NewReader(list+line), "wireguard")
		if err == nil && (symbols["the_function"] == nil || symbols["the_function"].here < 1) {
			t.Errorf("%q: the function is missing", list)
		}
	})
}

// FuzzFiles checks that whatever the kernel's files say, questions to it have answers.
func FuzzFiles(f *testing.F) {
	for _, text := range []string{"", "live\n", "1\n", "coming", "nf_conntrack 212992 1 - Live 0x0\n", "kernel/net/nf_conntrack.ko\n", "\x00\n"} {
		f.Add(text)
	}
	names := []string{
		"/proc/modules", "/proc/kallsyms", "/proc/sys/kernel/ftrace_enabled", "/sys/kernel/debug/kprobes/enabled", "/sys/kernel/debug/kprobes/blacklist",
	}
	for _, name := range []string{"initstate", "refcnt", "version", "srcversion"} {
		names = append(names, modulesFolder+"/nf_conntrack/"+name)
	}
	root := files(f.TempDir())
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(root.path(name)), 0o700); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range names {
			if err := os.WriteFile(root.path(name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m := &Machine{cache: btf.NewCache(), known: make(map[string]*load), files: root}
		module := m.Module("nf_conntrack")
		if module.Live && !module.BuiltIn && strings.TrimSpace(text) != "live" {
			t.Errorf("%q: %+v", text, module)
		}
		if strings.ContainsAny(module.Version, "\n") && !strings.Contains(strings.TrimSpace(text), "\n") {
			t.Errorf("%q: version %q", text, module.Version)
		}
		m.functionOf(module, "nf_conntrack_in")
		m.forbidsKprobe("nf_conntrack_in")
		m.KprobesArmed()
		m.Ftrace()
		_, _ = m.Holders("nf_conntrack")
	})
}

// FuzzBTF checks that a file of type information is refused or can be asked.
func FuzzBTF(f *testing.F) {
	builder, err := btf.NewBuilder([]btf.Type{
		&btf.Enum{Name: "zone_stat_item", Size: 4, Values: []btf.EnumValue{{Name: "NR_FREE_PAGES"}}},
		&btf.Struct{Name: "task_struct", Size: 4, Members: []btf.Member{{Name: "pid", Type: &btf.Int{Name: "int", Size: 4}}}},
	}, nil)
	if err != nil {
		f.Fatal(err)
	}
	types, err := builder.Marshal(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(types)
	f.Add(bytes.Repeat([]byte{0}, 64))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	file := filepath.Join(f.TempDir(), "btf")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Open(file)
		if err != nil {
			return
		}
		m.Enumerator("zone_stat_item", "NR_FREE_PAGES")
		m.Tracepoint("sched_switch", "")
	})
}
