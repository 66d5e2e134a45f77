// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
)

// with runs f on a thread that has these capabilities in effect, and no others.
// Other threads keep what they have.
func with(t *testing.T, f func(), capabilities ...int) {
	t.Helper()
	machine, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if f := machine.Access(); f.Answer != kernel.Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		for _, c := range capabilities {
			sets[c/32].Effective |= 1 << (c % 32)
			sets[c/32].Permitted |= 1 << (c % 32)
		}
		err := unix.Capset(&header, &sets[0])
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestRemedyNamesWhatIsLacking has the kernel refuse different things to threads
// that lack different capabilities.
func TestRemedyNamesWhatIsLacking(t *testing.T) {
	const kept = "; if kernscope gave up what it had, --keep-capabilities=cap_bpf keeps it"
	perf := func() error { return attaching(unix.EACCES, kernel.PermitPerf) }
	perfCapability := map[string]int{"CAP_PERFMON": unix.CAP_PERFMON, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN}[kernel.PerfCapability()]
	for name, tt := range map[string]struct {
		has    []int
		err    func() error
		remedy string
	}{
		"loading, nothing":    {nil, func() error { return fmt.Errorf("load program: %w", unix.EPERM) }, "grant CAP_BPF and CAP_PERFMON"},
		"loading, no BPF":     {[]int{unix.CAP_PERFMON}, func() error { return unix.EPERM }, "grant CAP_BPF"},
		"loading, no PERFMON": {[]int{unix.CAP_BPF}, func() error { return unix.EACCES }, "grant CAP_PERFMON"},
		"loading, both":       {[]int{unix.CAP_BPF, unix.CAP_PERFMON}, func() error { return unix.EPERM }, "the process has CAP_BPF and CAP_PERFMON: allow it in the container's seccomp profile or in the security module"},
		"loading, SYS_ADMIN":  {[]int{unix.CAP_SYS_ADMIN}, func() error { return unix.EPERM }, "the process has CAP_BPF and CAP_PERFMON: allow it in the container's seccomp profile or in the security module"},
		"events of perf":      {[]int{unix.CAP_BPF}, perf, "grant " + kernel.PerfCapability()},
		"events of perf, has": {[]int{perfCapability}, perf, "the process has " + kernel.PerfCapability() + ": allow it in the container's seccomp profile or in the security module"},
		"a map":               {[]int{unix.CAP_PERFMON}, func() error { return Reading(fmt.Errorf("map x: %w", unix.EPERM), "CAP_BPF") }, "grant CAP_BPF" + kept},
		"a map among others":  {nil, func() error { return errors.Join(unix.EIO, Reading(unix.EPERM, "CAP_BPF")) }, "grant CAP_BPF" + kept},
		"a socket":            {[]int{unix.CAP_BPF}, func() error { return Reading(unix.EPERM, "CAP_NET_ADMIN") }, "grant CAP_NET_ADMIN; if kernscope gave up what it had, --keep-capabilities=cap_net_admin keeps it"},
		"an unknown source":   {nil, func() error { return Reading(unix.EPERM) }, ""},
		"a file": {nil, func() error {
			return Reading(&fs.PathError{Op: "open", Path: "/proc/x", Err: unix.EACCES}, "CAP_NET_ADMIN")
		}, "let kernscope's user open /proc/x, or grant CAP_DAC_OVERRIDE"},
		"a pin": {[]int{unix.CAP_BPF}, func() error { return &fs.PathError{Op: "remove", Path: "/sys/fs/bpf/x", Err: unix.EACCES} }, "let kernscope's user remove /sys/fs/bpf/x, or grant CAP_DAC_OVERRIDE"},
	} {
		with(t, func() {
			p := Explain("doing", tt.err())
			if remedy, _ := strings.CutPrefix(p.Remedy, "sysctl kernel.perf_event_paranoid=2, or "); !p.Denied || remedy != tt.remedy {
				t.Errorf("%s: denied %v, remedy %q, want %q", name, p.Denied, p.Remedy, tt.remedy)
			}
		}, tt.has...)
	}
	for _, other := range []error{unix.ENOMEM, unix.ENOENT, &ebpf.VerifierError{Cause: unix.EACCES}} {
		if p := Explain("doing", other); p.Denied {
			t.Errorf("%v is taken for a refusal to this process: %+v", other, p)
		}
	}
}
