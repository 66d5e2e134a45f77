// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// What the unit has, without and with what [links] needs besides.
const (
	fewCapabilities = "+bpf,+perfmon"
	allCapabilities = fewCapabilities + ",+sys_admin"
	fewMask         = 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON
	allMask         = fewMask | 1<<unix.CAP_SYS_ADMIN
)

// keptMask returns what stays in effect after the start: Linux before 5.19 lets
// nobody read a map without CAP_BPF.
func keptMask() uint64 {
	if kerneltest.Kernel() == "5.10" {
		return 1 << unix.CAP_BPF
	}
	return 0
}

// paranoid sets kernel.perf_event_paranoid until the test ends.
func paranoid(t *testing.T, level string) {
	t.Helper()
	const file = "/proc/sys/kernel/perf_event_paranoid"
	before, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(level), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Error(err)
		}
	})
}

// TestServiceFollowsModule checks that the package's service waits for a
// module, attaches with held capabilities, and loses and finds the module
// again.
func TestServiceFollowsModule(t *testing.T) {
	kerneltest.VM(t, needsModules)
	for _, tt := range []struct {
		name, level, capabilities string
		permitted                 uint64
	}{
		{"level 2", "2", fewCapabilities, fewMask},
		{"level 2 with all", "2", allCapabilities, allMask},
		{"level 3 with all", "3", allCapabilities, allMask},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paranoid(t, tt.level)
			unloadModule(t)
			watchKernel(t)
			s := startService(t, serviceConfig{Ways: []string{"kprobe"}}, tt.capabilities)
			r := s.becomes(engine.Waiting)
			s.has(keptMask(), tt.permitted)
			if lacks := len(r.Left.Denied) > 0; lacks != (tt.permitted == fewMask) {
				t.Errorf("denied: %v", r.Left.Denied)
			}
			pid := s.process.Process.Pid
			var before inKernel
			for i := range 4 {
				loadModule(t)
				s.becomes(engine.Running)
				makeLinks(t, 3)
				s.counts(3 * (i + 1))
				s.has(keptMask(), tt.permitted)
				if i == 0 {
					before = count(t, pid)
				} else {
					settlesAt(t, pid, before)
				}
				unloadModule(t)
				s.becomes(engine.Waiting)
			}
			s.has(keptMask(), tt.permitted)
		})
	}
}

// TestServiceThatMayNotProbe checks that a service without CAP_SYS_ADMIN, where
// perf's kprobes take it, attaches otherwise or says what is missing.
func TestServiceThatMayNotProbe(t *testing.T) {
	kerneltest.VM(t, needsModules)
	paranoid(t, "3")
	unloadModule(t)
	watchKernel(t)
	defer unloadModule(t)
	refused := func(s *service) {
		t.Helper()
		s.becomes(engine.Waiting)
		loadModule(t)
		r := s.becomes(engine.Denied)
		for _, part := range []string{"kernel.perf_event_paranoid=3", "CAP_SYS_ADMIN", "does not have it"} {
			if !strings.Contains(r.State.Reason, part) {
				t.Errorf("the reason does not say %q: %s", part, r.State.Reason)
			}
		}
		if r.State.Remedy == "" {
			t.Error("no remedy")
		}
		unloadModule(t)
		s.becomes(engine.Waiting)
		s.end()
	}
	refused(startService(t, serviceConfig{Ways: []string{"kprobe"}}, fewCapabilities))

	s := startService(t, serviceConfig{Ways: []string{"kprobe", "kprobe.multi"}}, fewCapabilities)
	if kerneltest.Open(t).KprobeMulti("vfs_read", "").Answer == kernel.No {
		refused(s)
		return
	}
	s.becomes(engine.Waiting)
	loadModule(t)
	r := s.becomes(engine.Running)
	hook := r.State.Hooks[0]
	if hook.Attach != "kprobe.multi/"+newLink || len(hook.Rejected) != 1 || !strings.Contains(hook.Rejected[0].Reason, "perf_event_paranoid=3") {
		t.Errorf("hook %+v", hook)
	}
	makeLinks(t, 3)
	s.counts(3)
	s.has(keptMask(), fewMask)
	s.end()
	// Such a link holds the module; now it is let go.
	until(t, "nothing holds the module", func() bool {
		holders, err := kerneltest.Open(t).Holders(followed)
		return err == nil && holders.References == 0
	})
}

// TestServiceThatMayNotHold checks that a service that may hold no capability
// counts until the module goes, and then says what it lacks.
func TestServiceThatMayNotHold(t *testing.T) {
	kerneltest.VM(t, needsModules)
	paranoid(t, "2")
	unloadModule(t)
	watchKernel(t)
	loadModule(t)
	defer unloadModule(t)
	s := startService(t, serviceConfig{Ways: []string{"kprobe"}, Forbid: true}, allCapabilities)
	s.becomes(engine.Running)
	makeLinks(t, 3)
	s.counts(3)
	s.has(keptMask(), keptMask())
	unloadModule(t)
	s.becomes(engine.Waiting)
	loadModule(t)
	r := s.becomes(engine.Denied)
	if !strings.Contains(r.State.Reason, "--keep-capabilities=none forbids holding it") || !strings.Contains(r.State.Remedy, "restart") {
		t.Errorf("the state does not say why: %+v", r.State)
	}
	if n := s.log.count("Collector does not run"); n != 1 {
		t.Errorf("%d lines of the log say so", n)
	}
}

// TestServicePinsModule checks that a service renews its pins with held
// capabilities when the module is loaded anew, and that another adopts them.
func TestServicePinsModule(t *testing.T) {
	kerneltest.VM(t, needsModules)
	paranoid(t, "3")
	unloadModule(t)
	watchKernel(t)
	loadModule(t)
	defer unloadModule(t)
	bpffs := kerneltest.BPFFS(t)
	if err := errors.Join(os.Chmod(filepath.Dir(bpffs), 0o755), os.Chown(bpffs, serviceUser, serviceUser)); err != nil {
		t.Fatal(err)
	}
	how := serviceConfig{Ways: []string{"kprobe"}, Pins: filepath.Join(bpffs, "kernscope")}
	s := startService(t, how, allCapabilities)
	s.becomes(engine.Running)
	makeLinks(t, 3)
	s.counts(3)
	if kerneltest.Kernel() == "5.10" { // which cannot pin kprobes
		unloadModule(t)
		s.becomes(engine.Waiting)
		loadModule(t)
		s.becomes(engine.Running)
		makeLinks(t, 5)
		s.counts(8)
		return
	}
	first := below(t, how.Pins)
	unloadModule(t)
	s.becomes(engine.Waiting)
	loadModule(t)
	s.becomes(engine.Running)
	first.areGone(t)
	s.has(0, allMask)
	makeLinks(t, 5)
	s.counts(8)
	s.end()
	makeLinks(t, 7)
	second := below(t, how.Pins)

	s = startService(t, how, allCapabilities)
	if r := s.becomes(engine.Running); !r.State.Adopted {
		t.Errorf("not adopted: %+v", r.State)
	}
	s.counts(15)
	if same := below(t, how.Pins); !slices.Equal(second.programs, same.programs) {
		t.Errorf("programs %v were replaced by %v", second.programs, same.programs)
	}
	s.end()
}
