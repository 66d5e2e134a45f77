// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

//go:generate clang-19 -ffile-compilation-dir=. -O2 -g -Wall -Werror -mcpu=v3 -target bpfel -I../../bpf -c testdata/layout.c -o testdata/layout.o
//go:generate llvm-strip-19 -g testdata/layout.o

// layout returns a collector that says where a member lies in a structure of
// the module. These types are for kernels whose modules publish none.
func layout(types func(version string) (*btf.Spec, error)) collector.Spec {
	return collector.Spec{
		Name: "layout", Help: "Where a member lies.",
		Load:   func() (*ebpf.CollectionSpec, error) { return ebpf.LoadCollectionSpec("testdata/layout.o") },
		Module: &collector.Module{Name: followed, Types: types},
		Hooks:  []collector.Hook{{Name: "new link", Ways: []collector.Way{{Programs: []string{"layout_newlink"}, Types: true}}}},
		Metrics: []collector.Metric{{
			Name: "test_offset", Help: "x", Kind: collector.Gauge, Map: "layout",
		}},
	}
}

// madeUp is the offset of the member in the types that a test makes.
const madeUp = 1236

// makeTypes returns the type information of a module that has the structure, with the
// member at [madeUp].
func makeTypes(version string) (*btf.Spec, error) {
	if version != "1.0.0" {
		return nil, errors.New("unknown version " + version)
	}
	port := &btf.Int{Name: "unsigned short", Size: 2}
	device := &btf.Struct{
		Name: "wg_device", Size: madeUp + 4,
		Members: []btf.Member{{Name: "incoming_port", Type: port, Offset: madeUp * 8}},
	}
	b, err := btf.NewBuilder([]btf.Type{device}, nil)
	if err != nil {
		return nil, err
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		return nil, err
	}
	return btf.LoadSpecFromReader(bytes.NewReader(raw))
}

// TestTypesOfModule adapts a program to the structures of a module: by the types
// that it publishes, or else by those that the collector brings for its version.
func TestTypesOfModule(t *testing.T) {
	kerneltest.VM(t, needsModules)
	watchKernel(t)
	unloadModule(t)
	defer unloadModule(t)
	asked := 0
	cfg := config(t, layout(func(version string) (*btf.Spec, error) {
		asked++
		return makeTypes(version)
	}))
	e := engine.New(cfg)
	defer e.Close()
	e.Follow()
	for range 2 {
		loadModule(t)
		becomes(t, e, engine.Running)
		want := madeUp
		if kerneltest.Kernel() != "5.10" {
			types, err := cfg.Machine.ModuleTypes(followed)
			if err != nil {
				t.Fatal(err)
			}
			var device *btf.Struct
			if err := types.TypeByName("wg_device", &device); err != nil {
				t.Fatal(err)
			}
			for _, m := range device.Members {
				if m.Name == "incoming_port" {
					want = int(m.Offset.Bytes())
				}
			}
			if asked != 0 || want == madeUp {
				t.Errorf("asked %d times for types of a module that publishes its own, where the member is at %d", asked, want)
			}
		}
		makeLinks(t, 1)
		if got := int(kerneltest.Read(t, e).Value("test_offset")); got != want {
			t.Errorf("the program has the member at %d, it is at %d", got, want)
		}
		unloadModule(t)
		becomes(t, e, engine.Waiting)
	}
}

// TestModuleWithoutTypes checks that a way that needs types is not taken where
// the kernel's modules publish none and the collector brings none.
func TestModuleWithoutTypes(t *testing.T) {
	kerneltest.VM(t, needsModules)
	if kerneltest.Kernel() != "5.10" {
		return // its modules publish their types: TestTypesOfModule
	}
	watchKernel(t)
	unloadModule(t)
	loadModule(t)
	defer unloadModule(t)
	for reason, types := range map[string]func(string) (*btf.Spec, error){
		"publishes no type information":  nil,
		"types of wireguard 1.0.0: none": func(string) (*btf.Spec, error) { return nil, errors.New("none") },
	} {
		e := engine.New(config(t, layout(types)))
		if s := e.States()[0]; s.Status != engine.Unsupported || !strings.Contains(s.Reason, reason) {
			t.Errorf("%s: %s; want unsupported with %q", s.Status, s.Reason, reason)
		}
		e.Close()

		spec := links("kprobe")
		load := spec.Load
		spec.Load = func() (*ebpf.CollectionSpec, error) {
			obj, err := load()
			if err == nil {
				obj.Programs["first"] = countProgram("first", "kprobe/"+newLink)
			}
			return obj, err
		}
		spec.Module.Types = types
		spec.Hooks[0].Ways = append([]collector.Way{{Programs: []string{"first"}, Types: true}}, spec.Hooks[0].Ways...)
		e = engine.New(config(t, spec))
		becomes(t, e, engine.Running)
		hook := e.States()[0].Hooks[0]
		if hook.Programs[0] != "links_kprobe" || len(hook.Rejected) != 1 || !strings.Contains(hook.Rejected[0].Reason, reason) {
			t.Errorf("hook %+v; want the second way, and %q for the first", hook, reason)
		}
		e.Close()
	}
}
