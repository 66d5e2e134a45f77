// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/kernscope/kernscope/internal/kernel"
)

// Capabilities cannot be taken back, so each scenario runs in a process of its
// own: this test binary, started again with its name in the environment.
const childVariable = "KERNSCOPE_PRIVILEGE_SCENARIO"

// report is what a scenario tells the test.
type report struct {
	// Before and After are effective() around Drop.
	Before, After []string
	Kept          []Kept
	Err           string
	// Calls counts the calls of works.
	Calls int
	// Threads and Program hold, for each thread and for a program started
	// after Drop, the lines of its status that are about privileges.
	Threads []map[string]string
	Program map[string]string
	// ReadAfter is the error of a map read after Drop.
	ReadAfter string
	// Held and Denied are Drop's, Moments what holdReport says of them.
	Held    []Held
	Denied  []Denied
	Moments map[string]moment
}

func TestMain(m *testing.M) {
	name := os.Getenv(childVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	scenario := scenarios[name]
	if scenario == nil {
		scenario = holding[name]
	}
	if scenario == nil {
		fmt.Fprintf(os.Stderr, "no scenario %q\n", name)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(scenario()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run plays a scenario in a child process.
func run(t *testing.T, scenario string, attr *syscall.SysProcAttr) report {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	// A user who cannot enter the build directory can still run this.
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), childVariable+"="+scenario)
	child.Dir = "/"
	child.SysProcAttr = attr
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", scenario, err, &stderr)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%s: %v in %q", scenario, err, out)
	}
	return r
}

// needBPF skips a test of what only a process that may use BPF has, where the
// kernel lets none; scripts/test names such tests by "no-bpf:".
func needBPF(t *testing.T) {
	t.Helper()
	machine, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if f := machine.Access(); f.Answer != kernel.Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
}

// nobody is an unprivileged user with some ambient capabilities.
func nobody(ambient ...cap.Value) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for _, v := range ambient {
		attr.AmbientCaps = append(attr.AmbientCaps, uintptr(v))
	}
	return attr
}

var scenarios = map[string]func() report{
	"drop all":        func() report { return drop(nil, nothing) },
	"keep two":        func() report { return drop([]string{"CAP_NET_BIND_SERVICE", "kill"}, nothing) },
	"keep unheld":     func() report { return drop([]string{"cap_bpf", "cap_net_admin"}, nothing) },
	"keep unknown":    func() report { return drop([]string{"cap_bpf", "cap_foo", "bar"}, nothing) },
	"needs bpf":       func() report { return drop(nil, needs("cap_bpf")) },
	"needs sys_admin": func() report { return drop(nil, needs("cap_sys_admin")) },
	"needs a second":  func() report { return drop([]string{"cap_bpf"}, needs("cap_sys_admin")) },
	"broken":          func() report { return drop(nil, func() error { return syscall.EIO }) },
	"read a map":      readAfterDrop,
	"read plainly":    readWithoutCapabilities,
}

func nothing() error { return nil }

// effective returns the names of the capabilities in effect on this thread.
func effective() []string { return names(raised(cap.GetProc(), cap.Effective)) }

// needs fails as bpf(2) does on a kernel that wants the capability.
func needs(name string) func() error {
	return func() error {
		if !slices.Contains(effective(), name) {
			return fmt.Errorf("lookup: %w", syscall.EPERM)
		}
		return nil
	}
}

// drop calls Drop in a process of several threads and reports the outcome.
func drop(keep []string, works func() error) report {
	release := make(chan struct{})
	defer close(release)
	for range 4 {
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(started)
			<-release
		}()
		<-started
	}
	var r report
	r.Before = effective()
	out, err := new(Holder).Drop(Plan{Keep: keep, Works: func() error {
		r.Calls++
		return works()
	}})
	r.Kept = out.Kept
	r.After = effective()
	if err != nil {
		r.Err = err.Error()
	}
	r.Threads = slices.Collect(maps.Values(threads()))
	status, err := exec.Command("cat", "/proc/self/status").Output()
	must(err)
	r.Program = privileges(status)
	return r
}

// readAfterDrop lets Drop ask the real kernel, then reads once more.
func readAfterDrop() report {
	read, done := newMap()
	defer done()
	r := drop(nil, read)
	if err := read(); err != nil {
		r.ReadAfter = err.Error()
	}
	return r
}

// readWithoutCapabilities finds out, without Drop, whether this kernel lets a
// process without any capability read a map.
func readWithoutCapabilities() report {
	read, done := newMap()
	defer done()
	must(cap.NewSet().SetProc())
	var r report
	if err := read(); errors.Is(err, syscall.EPERM) {
		r.ReadAfter = err.Error()
	} else {
		must(err)
	}
	return r
}

// newMap makes an array map and returns a function that reads it.
func newMap() (read func() error, done func() error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	must(err)
	must(m.Put(uint32(0), uint64(4711)))
	return func() error {
		var v uint64
		if err := m.Lookup(uint32(0), &v); err != nil {
			return err
		}
		if v != 4711 {
			return fmt.Errorf("read %d", v)
		}
		return nil
	}, m.Close
}

// threads returns, by its number, what the status of each thread says of
// privileges.
func threads() map[int]map[string]string {
	found := make(map[int]map[string]string)
	tasks, err := filepath.Glob("/proc/self/task/*")
	must(err)
	for _, task := range tasks {
		status, err := os.ReadFile(task + "/status")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		must(err)
		tid, err := strconv.Atoi(filepath.Base(task))
		must(err)
		found[tid] = privileges(status)
	}
	return found
}

// privileges picks the lines of a /proc/PID/status that Drop is about.
func privileges(status []byte) map[string]string {
	picked := make(map[string]string)
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.HasPrefix(key, "Cap") || key == "NoNewPrivs" {
			picked[key] = strings.TrimSpace(value)
		}
	}
	return picked
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
