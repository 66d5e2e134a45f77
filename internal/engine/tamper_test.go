// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/memory"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// nfsservctl makes the call that [calls] counts.
func nfsservctl() { unix.RawSyscall(unix.SYS_NFSSERVCTL, 0, 0, 0) }

// identityDir returns the directory in which a collector is pinned.
func identityDir(t *testing.T, dir, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, name, "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("pins %v, error %v", found, err)
	}
	return found[0]
}

// swap pins an object in the place of another.
func swap(path string, with interface{ Pin(string) error }) error {
	return errors.Join(os.Remove(path), with.Pin(path))
}

// foreignMap returns a map that nobody fills.
func foreignMap(t *testing.T, spec ebpf.MapSpec) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// foreignProgram returns a program that does nothing, and its link to a raw
// tracepoint.
func foreignProgram(t *testing.T, tracepoint string) (*ebpf.Program, link.Link) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "calls", Type: ebpf.RawTracepoint, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	return prog, attached(t, prog, tracepoint)
}

func attached(t *testing.T, prog *ebpf.Program, tracepoint string) link.Link {
	t.Helper()
	l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: tracepoint, Program: prog})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestTamperedPinsAreReplaced puts something else in the place of what a
// collector pinned. The next start does not adopt it, says so, and pins anew;
// the one after that adopts.
func TestTamperedPinsAreReplaced(t *testing.T) {
	const m, program, attachment = "map-links", "program-calls", "link-calls"
	same := ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	with := func(change func(*ebpf.MapSpec)) func(*testing.T, string) error {
		spec := same
		change(&spec)
		return func(t *testing.T, dir string) error { return swap(filepath.Join(dir, m), foreignMap(t, spec)) }
	}
	for how, tamper := range map[string]func(t *testing.T, dir string) error{
		"map of the same shape": with(func(*ebpf.MapSpec) {}),
		"map of another type":   with(func(s *ebpf.MapSpec) { s.Type = ebpf.Hash }),
		"map of another size":   with(func(s *ebpf.MapSpec) { s.MaxEntries = 1000 }),
		"smaller values":        with(func(s *ebpf.MapSpec) { s.ValueSize = 4 }),
		"larger values":         with(func(s *ebpf.MapSpec) { s.ValueSize = 4096 }),
		"map with flags":        with(func(s *ebpf.MapSpec) { s.Flags = unix.BPF_F_MMAPABLE }),
		"frozen map": func(_ *testing.T, dir string) error {
			ours, err := ebpf.LoadPinnedMap(filepath.Join(dir, m), nil)
			if err != nil {
				return err
			}
			defer ours.Close()
			return ours.Freeze()
		},
		"no map":        func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, m)) },
		"folder as map": func(_ *testing.T, dir string) error { return folder(filepath.Join(dir, m)) },
		"program as map": func(t *testing.T, dir string) error {
			prog, _ := foreignProgram(t, "sys_enter")
			return swap(filepath.Join(dir, m), prog)
		},
		"another program": func(t *testing.T, dir string) error {
			prog, _ := foreignProgram(t, "sys_enter")
			return swap(filepath.Join(dir, program), prog)
		},
		"another program with its link": func(t *testing.T, dir string) error {
			prog, l := foreignProgram(t, "sys_enter")
			return errors.Join(swap(filepath.Join(dir, program), prog), swap(filepath.Join(dir, attachment), l))
		},
		"map as program": func(t *testing.T, dir string) error { return swap(filepath.Join(dir, program), foreignMap(t, same)) },
		"another program's link": func(t *testing.T, dir string) error {
			_, l := foreignProgram(t, "sys_enter")
			return swap(filepath.Join(dir, attachment), l)
		},
		"link to another place": func(t *testing.T, dir string) error {
			ours, err := ebpf.LoadPinnedProgram(filepath.Join(dir, program), nil)
			if err != nil {
				return err
			}
			defer ours.Close()
			return swap(filepath.Join(dir, attachment), attached(t, ours, "sys_exit"))
		},
		"map as link":  func(t *testing.T, dir string) error { return swap(filepath.Join(dir, attachment), foreignMap(t, same)) },
		"no link":      func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, attachment)) },
		"no program":   func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, program)) },
		"no list":      func(_ *testing.T, dir string) error { return os.RemoveAll(filepath.Join(dir, "objects")) },
		"foreign list": func(_ *testing.T, dir string) error { return os.Mkdir(filepath.Join(dir, "objects", "x"), 0o700) },
		"list with two maps": func(_ *testing.T, dir string) error {
			return os.Mkdir(filepath.Join(dir, "objects", "1-"+m), 0o700)
		},
		"incomplete": func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, "complete")) },
		"another collector's": func(t *testing.T, dir string) error {
			other := calls()
			other.Name = "other"
			parent := filepath.Dir(filepath.Dir(dir))
			leave(t, pinned(t, parent, other), func(*engine.Engine) {})
			theirs := identityDir(t, parent, "other")
			for _, pin := range []string{m, program, attachment} {
				aside := filepath.Join(dir, "aside")
				if err := errors.Join(
					os.Rename(filepath.Join(dir, pin), aside),
					os.Rename(filepath.Join(theirs, pin), filepath.Join(dir, pin)),
					os.Rename(aside, filepath.Join(theirs, pin)),
				); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(how, func(t *testing.T) {
			dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
			leave(t, pinned(t, dir, calls()), func(*engine.Engine) { nfsservctl() })
			if err := tamper(t, identityDir(t, dir, "calls")); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			cfg := pinned(t, dir, calls())
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			leave(t, cfg, func(e *engine.Engine) {
				nfsservctl()
				if got := made(t, e); got != 1 || len(adopted(e)) != 0 {
					t.Errorf("counted %d calls of 1, adopted %v", got, adopted(e))
				}
			})
			if !strings.Contains(log.String(), `msg="Removed what was pinned" collector=calls reason=`) {
				t.Errorf("the log does not say why it was replaced:\n%s", &log)
			}
			leave(t, pinned(t, dir, calls()), func(e *engine.Engine) {
				nfsservctl()
				if got := made(t, e); got != 2 || len(adopted(e)) != 1 {
					t.Errorf("counted %d calls of 2, adopted %v", got, adopted(e))
				}
			})
		})
	}
}

// folder makes a folder in the place of a pin.
func folder(path string) error {
	return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o700))
}

// TestForeignEventsAreNotAdopted puts another program's link, and what is no
// link of perf, in the place of a link to a CPU's events.
func TestForeignEventsAreNotAdopted(t *testing.T) {
	if kerneltest.Kernel() == "5.10" {
		return // there, events of perf cannot be pinned
	}
	pattern := func(dir, program string) []string {
		found, err := filepath.Glob(filepath.Join(dir, "link-"+program+"-*-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for how, tamper := range map[string]func(t *testing.T, one, other string) error{
		"another program's": func(_ *testing.T, one, other string) error { return errors.Join(os.Remove(one), os.Rename(other, one)) },
		"no event": func(t *testing.T, one, _ string) error {
			_, l := foreignProgram(t, "sys_enter")
			return swap(one, l)
		},
	} {
		dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
		cfg := pinned(t, dir, memory.Spec())
		cfg.Options = map[string]collector.Value{"memory.processes": true}
		leave(t, cfg, func(*engine.Engine) {})
		at := identityDir(t, dir, "memory")
		programs := make(map[string]bool)
		for _, l := range pattern(at, "*") {
			parts := strings.Split(filepath.Base(l), "-")
			programs[parts[1]] = true
		}
		var names []string
		for name := range programs {
			names = append(names, name)
		}
		if len(names) < 2 {
			t.Fatalf("events of the programs %v: the test needs two", names)
		}
		if err := tamper(t, pattern(at, names[0])[0], pattern(at, names[1])[0]); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{0, 1} {
			cfg := pinned(t, dir, memory.Spec())
			cfg.Options = map[string]collector.Value{"memory.processes": true}
			leave(t, cfg, func(e *engine.Engine) {
				if got := adopted(e); len(got) != want {
					t.Errorf("%s: adopted %v, want %d collectors", how, got, want)
				}
			})
		}
	}
}
