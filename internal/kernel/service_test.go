// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// asService names, in the environment of this test binary started again, where
// the answers go.
const asService = "KERNSCOPE_KERNEL_ANSWERS"

// answers returns what the user who runs this may do with a function of the
// kernel and one of a module.
func answers(machine *kernel.Machine) map[string]kernel.Finding {
	return map[string]kernel.Finding{
		"access":              machine.Access(),
		"kprobe":              machine.Kprobe("vfs_read", ""),
		"kprobe module":       machine.Kprobe(aFunction, aModule),
		"kprobe.multi":        machine.KprobeMulti("vfs_read", ""),
		"kprobe.multi module": machine.KprobeMulti(aFunction, aModule),
		"trampoline":          machine.Trampoline("vfs_read", ""),
		"trampoline module":   machine.Trampoline(aFunction, aModule),
	}
}

// The package's service has CAP_BPF and CAP_PERFMON. What it may do depends on
// the kernel's switch, and it is told so.
func TestAnswersForTheServiceUser(t *testing.T) {
	if path := os.Getenv(asService); path != "" {
		text, err := json.Marshal(answers(open(t)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0); err != nil {
			t.Fatal(err)
		}
		return
	}
	kerneltest.VM(t, "it loads a module and changes a switch of the kernel")
	const paranoid = "/proc/sys/kernel/perf_event_paranoid"
	was, err := os.ReadFile(paranoid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(paranoid, was, 0) })
	machine := open(t)
	kerneltest.LoadModule(t, aModule)
	t.Cleanup(func() { unload(t, machine) })
	root := answers(machine)

	for _, level := range []string{"2", "3"} {
		if err := os.WriteFile(paranoid, []byte(level), 0); err != nil {
			t.Fatal(err)
		}
		for name, f := range askAsService(t) {
			t.Logf("%s: %s: %+v", level, name, f)
			switch {
			case root[name].Answer == kernel.No:
				if f.Answer != kernel.No {
					t.Errorf("%s: %s: %+v, for root %+v", level, name, f, root[name])
				}
			case level == "3" && strings.HasPrefix(name, "kprobe") && !strings.HasPrefix(name, "kprobe.multi"):
				if f.Answer != kernel.No || !f.Passing || !strings.Contains(f.Remedy, "perf_event_paranoid=2") {
					t.Errorf("%s: %s: %+v", level, name, f)
				}
			case name == "trampoline module":
				if f.Answer != kernel.No || !f.Passing || !strings.Contains(f.Reason, "CAP_SYS_ADMIN") {
					t.Errorf("%s: %s: %+v", level, name, f)
				}
			case f.Answer != kernel.Yes:
				t.Errorf("%s: %s: %+v", level, name, f)
			}
		}
	}
}

// askAsService returns the answers for a user who has two capabilities.
func askAsService(t *testing.T) map[string]kernel.Finding {
	t.Helper()
	file, err := os.CreateTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := file.Chmod(0o666); err != nil {
		t.Fatal(err)
	}
	// A user who cannot enter the build directory can still run this.
	child := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), asService+"="+file.Name())
	child.Dir = "/"
	child.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: []uintptr{unix.CAP_BPF, unix.CAP_PERFMON},
	}
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	var found map[string]kernel.Finding
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return found
}
