// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const (
	aModule   = "wireguard"
	aFunction = "wg_xmit"
)

// unload unloads the module. What a program of fentry held is given back a
// moment after the program is closed.
func unload(t *testing.T, machine *kernel.Machine) {
	t.Helper()
	for seen := machine.Module(aModule); seen.Live; seen = machine.Module(aModule) {
		if holders, err := machine.Holders(aModule); err == nil && holders.References > 0 {
			continue // the test's time limit ends this
		}
		kerneltest.Command(t, "modprobe", "-r", aModule)
	}
}

// next is the state of the module after seen.
func next(t *testing.T, machine *kernel.Machine, seen kernel.Module) kernel.Module {
	t.Helper()
	now, err := machine.NextModule(t.Context(), seen)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestModuleComesAndGoes(t *testing.T) {
	kerneltest.VM(t, "it loads and unloads a module")
	machine := open(t)
	unload(t, machine)
	absent := machine.Module(aModule)
	if absent.Live || absent.BuiltIn || absent.Identity != 0 {
		t.Fatalf("not loaded: %+v", absent)
	}
	if f := machine.Kprobe(aFunction, aModule); f.Answer != kernel.No || !f.Passing || f.Remedy == "" {
		t.Errorf("kprobe in a module that is not loaded: %+v", f)
	}
	identities := []uint64{0}
	for range 3 {
		seen := machine.Module(aModule)
		kerneltest.LoadModule(t, aModule)
		live := next(t, machine, seen)
		if !live.Live || live.Version != "1.0.0" || slices.Contains(identities, live.Identity) {
			t.Fatalf("loaded: %+v, loads before: %v", live, identities)
		}
		identities = append(identities, live.Identity)
		askOfModule(t, machine)
		unload(t, machine)
		if gone := next(t, machine, live); gone != absent {
			t.Fatalf("unloaded: %+v, want %+v", gone, absent)
		}
	}
}

// askOfModule asks for all that can be had of a loaded module. What the kernel
// can do for its own functions, it can for a module's, but that fentry needs the
// module's types.
func askOfModule(t *testing.T, machine *kernel.Machine) {
	t.Helper()
	_, err := os.Stat("/sys/kernel/btf/" + aModule)
	hasTypes := err == nil
	if types, err := machine.ModuleTypes(aModule); hasTypes != (err == nil) {
		t.Errorf("types: %v, but it publishes some: %v", err, hasTypes)
	} else if hasTypes {
		var function *btf.Func
		if err := types.TypeByName(aFunction, &function); err != nil {
			t.Errorf("types have no %s: %v", aFunction, err)
		}
	}
	for name, ask := range map[string]func(function, module string) kernel.Finding{
		"function": machine.Function, "kprobe": machine.Kprobe,
		"kprobe.multi": machine.KprobeMulti, "trampoline": machine.Trampoline,
	} {
		want := ask("vfs_read", "").Answer
		if name == "trampoline" && !hasTypes {
			want = kernel.No
		}
		f := ask(aFunction, aModule)
		t.Logf("%s: %+v", name, f)
		if f.Answer != want || f.Passing {
			t.Errorf("%s: %+v, want %d that holds", name, f, want)
		}
		if f := ask(noSuch, aModule); f.Answer != kernel.No || f.Passing {
			t.Errorf("%s of no function: %+v, want a No that holds", name, f)
		}
	}
}

func TestModuleOfTheKernelItself(t *testing.T) {
	kerneltest.VM(t, "what is compiled into a kernel is known of those of the matrix")
	machine := open(t)
	if m := machine.Module("ipv6"); !m.Live || !m.BuiltIn {
		t.Fatalf("ipv6: %+v", m)
	}
	if f := machine.Function("tcp_v6_connect", "ipv6"); f.Answer != kernel.Yes {
		t.Errorf("its function: %+v", f)
	}
	if f := machine.Kprobe("tcp_v6_connect", "ipv6"); f.Answer != kernel.Yes {
		t.Errorf("a kprobe: %+v", f)
	}
}

// With a switch off, what depends on it is refused, and only that; with the
// switch on again, nothing is.
func TestSwitchesOfTheKernel(t *testing.T) {
	kerneltest.VM(t, "it switches off what other programs use")
	machine := open(t)
	ways := map[string]func(function, module string) kernel.Finding{
		"trampoline": machine.Trampoline, "kprobe": machine.Kprobe, "kprobe.multi": machine.KprobeMulti,
	}
	for _, s := range []struct {
		file   string
		refuse []string
	}{
		{"/proc/sys/kernel/ftrace_enabled", []string{"trampoline", "kprobe", "kprobe.multi"}},
		{"/sys/kernel/debug/kprobes/enabled", []string{"kprobe"}},
	} {
		before := make(map[string]kernel.Finding)
		for name, ask := range ways {
			before[name] = ask("vfs_read", "")
		}
		err := os.WriteFile(s.file, []byte("0"), 0)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Logf("%s cannot be switched off any more", s.file)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.WriteFile(s.file, []byte("1"), 0) })
		for name, ask := range ways {
			f := ask("vfs_read", "")
			if !slices.Contains(s.refuse, name) {
				if f != before[name] {
					t.Errorf("%s: %+v without %s, %+v before", name, f, s.file, before[name])
				}
			} else if f.Answer != kernel.No || !f.Passing || f.Remedy == "" {
				t.Errorf("%s: %+v without %s", name, f, s.file)
			}
		}
		if err := os.WriteFile(s.file, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		for name, ask := range ways {
			if f := ask("vfs_read", ""); f != before[name] {
				t.Errorf("%s: %+v after %s, %+v before", name, f, s.file, before[name])
			}
		}
	}
}

// Programs are adapted to the types of the kernel and of no module but the one
// asked for, however many are loaded.
func TestTypesOfOtherModulesAreNotRead(t *testing.T) {
	kerneltest.VM(t, "it needs modules that are loaded")
	machine := open(t)
	kerneltest.LoadModule(t, aModule)
	t.Cleanup(func() { unload(t, machine) })
	var modules, published []string
	entries, err := os.ReadDir("/sys/kernel/btf")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		published = append(published, e.Name())
		if e.Name() == aModule {
			modules = append(modules, aModule)
		}
	}
	t.Logf("%d types are published", len(published))

	load := func(options ebpf.CollectionOptions) {
		obj, err := ebpf.LoadCollectionSpec("../../collector/syscall/syscall_bpfel.o")
		if err != nil {
			t.Fatal(err)
		}
		for name := range obj.Programs {
			if name != "syscall_error_raw" { // it is adapted to types
				delete(obj.Programs, name)
			}
		}
		delete(obj.Maps, "syscall_task") // of a type that not every kernel has
		machine.FitMaps(obj.Maps)
		coll, err := ebpf.NewCollectionWithOptions(obj, options)
		if err != nil {
			t.Fatal(err)
		}
		coll.Close()
	}
	loadFor := func(module string) func() {
		return func() {
			options, err := machine.LoadOptions(module)
			if err != nil {
				t.Fatal(err)
			}
			load(options)
		}
	}
	for _, c := range []struct {
		name string
		do   func()
		want []string
	}{
		{"of the kernel", loadFor(""), []string{"vmlinux"}},
		{"of a module", loadFor(aModule), append([]string{"vmlinux"}, modules...)},
		{"by the library alone", func() { load(ebpf.CollectionOptions{}) }, published},
	} {
		machine.Release()
		if got := opened(t, "/sys/kernel/btf", c.do); !slices.Equal(got, c.want) {
			t.Errorf("%s: opened %v, want %v", c.name, got, c.want)
		}
	}
}

// opened returns the names of the files of a folder that are opened meanwhile.
func opened(t *testing.T, folder string, do func()) []string {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, folder, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	do()
	var names []string
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for events := buf[:n]; len(events) > 0; {
			event := (*unix.InotifyEvent)(unsafe.Pointer(&events[0]))
			end := unix.SizeofInotifyEvent + int(event.Len)
			if name := unix.ByteSliceToString(events[unix.SizeofInotifyEvent:end]); event.Mask&unix.IN_ISDIR == 0 {
				names = append(names, name)
			}
			events = events[end:]
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
