// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

const needsModules = "it loads and unloads a module"

// becomes waits until the only collector is in a state.
func becomes(t *testing.T, e *engine.Engine, want engine.Status) time.Duration {
	t.Helper()
	took := until(t, "the collector is "+string(want), func() bool { return e.States()[0].Status == want })
	if want == engine.Running && len(e.States()[0].Hooks) != 1 {
		t.Errorf("state %+v", e.States()[0])
	}
	return took
}

// TestModuleComesAfterUs starts before the module is loaded, lets it come, go
// and come again, and counts all the time.
func TestModuleComesAfterUs(t *testing.T) {
	kerneltest.VM(t, needsModules)
	unloadModule(t)
	watchKernel(t)
	cfg := config(t, links("kprobe"))
	log := logged(&cfg)
	e := engine.New(cfg)
	defer e.Close()
	e.Follow()
	if s := e.States()[0]; s.Status != engine.Waiting || !s.Status.Well() || !strings.Contains(s.Reason, followed) {
		t.Fatalf("state %+v, want waiting for %s", s, followed)
	}
	if n := kerneltest.Read(t, e).Value("kernscope_collector_success", "collector=links"); n != 0 {
		t.Errorf("success is %v while waiting", n)
	}
	total := 0
	for _, n := range []int{3, 5} {
		loadModule(t)
		t.Logf("running %v after the module was loaded", becomes(t, e, engine.Running))
		makeLinks(t, n)
		total += n
		if got := made(t, e); got != total {
			t.Errorf("counted %d links, %d were made", got, total)
		}
		if holders, err := cfg.Machine.Holders(followed); err != nil || holders.References != 0 {
			t.Errorf("the module is held: %+v, %v", holders, err)
		}
		unloadModule(t)
		t.Logf("waiting %v after the module was unloaded", becomes(t, e, engine.Waiting))
	}
	for message, want := range map[string]int{"Waiting": 3, "Attached": 2} {
		if n := log.count(message); n != want {
			t.Errorf("%d times %q in the log, want %d", n, message, want)
		}
	}
	if n := len(log.all()); n != 5 {
		t.Errorf("%d lines in the log, want one for each change, which is 5", n)
	}
	if t.Failed() {
		t.Log(strings.Join(log.all(), ""))
	}
}

// TestModuleIsLoadedAnew loads the module anew a hundred times, mostly so
// quickly that nobody sees it gone. Nothing is missed and nothing leaks.
func TestModuleIsLoadedAnew(t *testing.T) {
	kerneltest.VM(t, needsModules)
	unloadModule(t)
	loadModule(t)
	defer unloadModule(t)
	watchKernel(t)
	cfg := config(t, links("kprobe"))
	log := logged(&cfg)
	empty := count(t, os.Getpid())
	e := engine.New(cfg)
	defer e.Close()
	e.Follow()
	becomes(t, e, engine.Running)
	makeLinks(t, 1)
	before := count(t, os.Getpid())
	if before.programs != empty.programs+1 || before.maps != empty.maps+1 || before.descriptors <= empty.descriptors {
		t.Errorf("in the kernel: %+v, before the start %+v: the test counts something else", before, empty)
	}
	const reloads = 100
	var took []time.Duration
	for i := range reloads {
		attached := log.count("Attached")
		unloadModule(t)
		if i%10 == 0 {
			becomes(t, e, engine.Waiting)
		}
		loadModule(t)
		took = append(took, until(t, "attached anew", func() bool { return log.count("Attached") > attached }))
		makeLinks(t, 1)
		if got := made(t, e); got != i+2 {
			t.Fatalf("counted %d links after %d reloads, %d were made", got, i+1, i+2)
		}
	}
	slices.Sort(took)
	t.Logf("attached after %v at most, %v half of the times", took[len(took)-1], took[len(took)/2])
	settlesAt(t, os.Getpid(), before)
	if attached, all := log.count("Attached"), len(log.all()); attached != reloads+1 || all < reloads+reloads/10+1 || all > 2*reloads+1 {
		t.Errorf("%d times attached by the log, want %d; %d lines", attached, reloads+1, all)
	}
	e.Close()
	settlesAt(t, os.Getpid(), empty)
	if t.Failed() {
		t.Log(strings.Join(log.all(), ""))
	}
}

// TestTwoCollectorsOfAModule checks that two collectors can follow one module
// at the same time.
func TestTwoCollectorsOfAModule(t *testing.T) {
	kerneltest.VM(t, needsModules)
	unloadModule(t)
	defer unloadModule(t)
	watchKernel(t)
	other := links("kprobe")
	other.Name, other.Metrics[0].Name = "others", "test_others_total"
	cfg := config(t, links("kprobe"), other)
	log := logged(&cfg)
	e := engine.New(cfg)
	defer e.Close()
	e.Follow()
	const loads = 5
	for i := range loads {
		loadModule(t)
		until(t, "both are attached", func() bool { return log.count("Attached") == 2*(i+1) })
		makeLinks(t, 1)
		if one, two := made(t, e), kerneltest.Read(t, e).Value("test_others_total"); one != i+1 || two != float64(i+1) {
			t.Errorf("counted %d and %v links, %d were made", one, two, i+1)
		}
		unloadModule(t)
	}
	until(t, "both wait", func() bool {
		states := e.States()
		return states[0].Status == engine.Waiting && states[1].Status == engine.Waiting
	})
	if t.Failed() {
		t.Log(strings.Join(log.all(), ""))
	}
}
