// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// child in the environment makes this binary enter the sandbox of a plan, and
// try what it may and may not do.
const child = "KERNSCOPE_TEST_SANDBOX"

// scene is what a child is given.
type scene struct {
	Plan Plan
	// Folder has folders that the plan names, and one that it does not.
	Folder string
}

func TestMain(m *testing.M) {
	text := os.Getenv(child)
	if text == "" {
		os.Exit(m.Run())
	}
	var s scene
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(s.play()); err != nil {
		panic(err)
	}
}

// play enters the sandbox, and returns what became of each attempt: "" if it
// succeeded. The parts are among them.
func (s scene) play() map[string]string {
	// A thread that there is before, one that comes later, and this one.
	attempts := make(chan func())
	for range 2 {
		go func() {
			runtime.LockOSThread()
			for f := range attempts {
				f()
			}
		}()
	}
	became := make(map[string]string)
	for _, p := range Enter(s.Plan) {
		became[p.Name] = p.Reason
	}
	for name, attempt := range s.attempts() {
		var ended sync.WaitGroup
		for range 2 {
			ended.Add(1)
			attempts <- func() {
				defer ended.Done()
				if err := attempt(); err != nil {
					became[name] = err.Error()
				} else if _, failed := became[name]; !failed {
					became[name] = ""
				}
			}
			ended.Wait()
		}
	}
	return became
}

// attempts returns what a process may try, by names that begin with who forbids
// it: "seccomp", "landlock", or "nobody".
func (s scene) attempts() map[string]func() error {
	in := func(name ...string) string { return filepath.Join(append([]string{s.Folder}, name...)...) }
	read := func(path string) func() error {
		return func() error { _, err := os.ReadFile(path); return err }
	}
	call := func(number uintptr, args ...uintptr) func() error {
		return func() error {
			var a [3]uintptr
			copy(a[:], args)
			if _, _, errno := unix.Syscall(number, a[0], a[1], a[2]); errno != 0 {
				return errno
			}
			return nil
		}
	}
	return map[string]func() error{
		"nobody: /proc":         read("/proc/self/stat"),
		"nobody: /sys":          read("/sys/kernel/mm/transparent_hugepage/enabled"),
		"nobody: a read folder": read(in("read", "file")),
		"nobody: replaced in a read folder": func() error {
			_, err := os.ReadFile(in("read", "later"))
			if !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("not that it is missing: %w", err)
			}
			return nil
		},
		"nobody: change": func() error {
			return errors.Join(os.MkdirAll(in("change", "new"), 0o700), os.Remove(in("change", "new")))
		},
		"nobody: times":  func() error { return os.Chtimes(in("change"), time.Now(), time.Now()) },
		"nobody: lock":   func() error { return flock(in("change")) },
		"nobody: limits": func() error { return unix.Prlimit(0, unix.RLIMIT_CORE, nil, new(unix.Rlimit)) },
		"nobody: remove": func() error { return remove(in("remove", "file")) },
		"nobody: threads, timers, memory": func() error {
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() { runtime.LockOSThread(); _ = make([]byte, 1<<20); time.Sleep(time.Millisecond) })
			}
			all.Wait()
			runtime.GC()
			return nil
		},
		"landlock: another folder": read(in("other", "file")),
		"landlock: /etc/passwd":    read("/etc/passwd"),
		"landlock: a list":         func() error { _, err := os.ReadDir("/etc"); return err },
		"landlock: by /proc":       read("/proc/self/root/etc/passwd"),
		"landlock: by a link":      read(in("read", "link")),
		"landlock: make elsewhere": func() error {
			return errors.Join(os.Mkdir(in("other", "new"), 0o700), os.Remove(in("other", "new")))
		},
		"landlock: remove elsewhere": func() error { return remove(in("other", "removable")) },
		"seccomp: a shell": func() error {
			shell := exec.Command("sh", "-c", "true")
			shell.Stdin, shell.Stdout, shell.Stderr = os.Stdin, os.Stderr, os.Stderr // or it opens /dev/null
			return shell.Run()
		},
		"seccomp: this program": func() error { return unix.Exec("/proc/self/exe", []string{"x"}, nil) },
		"seccomp: fork": func() error {
			pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			switch {
			case errno != 0:
				return errno
			case pid == 0:
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			return nil
		},
		"seccomp: write a file":        func() error { return os.WriteFile(in("change", "file"), nil, 0o600) },
		"seccomp: write to /proc":      func() error { f, err := os.OpenFile("/proc/self/comm", os.O_WRONLY, 0); f.Close(); return err },
		"seccomp: dial":                func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return err },
		"seccomp: a local socket":      func() error { _, err := net.Dial("unix", in("socket")); return err },
		"seccomp: trace":               call(unix.SYS_PTRACE, unix.PTRACE_TRACEME),
		"seccomp: a namespace":         call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER),
		"seccomp: another's namespace": call(unix.SYS_SETNS, ^uintptr(0)),
		"seccomp: signal others":       call(unix.SYS_KILL, uintptr(os.Getppid()), 0),
		"seccomp: limits of others": func() error {
			return unix.Prlimit(os.Getppid(), unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
		},
		"seccomp: signal others by a descriptor": call(unix.SYS_FCNTL, 0, unix.F_SETOWN, uintptr(os.Getppid())),
		"seccomp: code": func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		},
		"seccomp: type for a terminal": call(unix.SYS_IOCTL, 0, unix.TIOCSTI, 0),
		"seccomp: give a file away":    func() error { return os.Chmod(in("change"), 0o777) },
		"seccomp: rename":              func() error { return os.Rename(in("read", "file"), in("change", "x")) },
		"seccomp: another filter":      call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0),
	}
}

// remove removes a file, which another thread may have done already.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func flock(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH)
}

// newScene makes folders and the plan for them.
func newScene(t *testing.T) scene {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"read", "change", "remove", "other"} {
		dir := filepath.Join(folder, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Symlink("/etc/passwd", filepath.Join(folder, "read", "link")),
		os.WriteFile(filepath.Join(folder, "other", "removable"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return scene{Folder: folder, Plan: Plan{
		Read:   []string{filepath.Join(folder, "read"), "/nothing/there"},
		Change: []string{filepath.Join(folder, "change")},
		Remove: []string{filepath.Join(folder, "remove")},
	}}
}

// played runs a child, and returns what became of its attempts.
func played(t *testing.T, s scene) map[string]string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), child+"="+string(text))
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var became map[string]string
	if err := json.Unmarshal(out, &became); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return became
}

// hasLandlock reports whether the kernel lists Landlock among what it uses.
func hasLandlock(t *testing.T) bool {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "securityfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	text, err := os.ReadFile(filepath.Join(dir, "lsm"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "landlock")
}

// TestEnter tries what the sandbox permits and what it forbids, on a thread that
// was there before and on another.
func TestEnter(t *testing.T) {
	kerneltest.Tool(t, "sh")
	s := newScene(t)
	became := played(t, s)
	in := map[string]bool{"seccomp": true, "landlock": hasLandlock(t), "nobody": false}
	for part, reason := range became {
		who, _, attempt := strings.Cut(part, ": ")
		switch {
		case !attempt && (reason == "") != in[who]:
			t.Errorf("%s: reason %q, and the kernel has it: %v", who, reason, in[who])
		case attempt && (reason != "") != in[who]:
			t.Errorf("%s: error %q", part, reason)
		case attempt && in[who] && !strings.Contains(reason, "permi"):
			t.Errorf("%s: error %q, want one of permission", part, reason)
		}
	}
	if want := 2 + len(s.attempts()); len(became) != want {
		t.Errorf("%d results, want %d", len(became), want)
	}
	for i, known := range Known() {
		if (known.Reason == "") != in[known.Name] || known.Name != []string{"seccomp", "landlock"}[i] {
			t.Errorf("known is %v", known)
		}
	}
}

// TestPlansThatChangeLess finds that the filter forbids what the plan does not
// take, whether or not the kernel has Landlock, whose error is another one.
func TestPlansThatChangeLess(t *testing.T) {
	for _, tt := range []struct {
		name, attempt string
		change        func(*Plan)
	}{
		{"seccomp: make", "nobody: change", func(p *Plan) { p.Change, p.Remove = nil, nil }},
		{"seccomp: remove", "nobody: remove", func(p *Plan) { p.Change, p.Remove = nil, nil }},
		{"seccomp: times", "nobody: times", func(p *Plan) { p.Change = nil }},
		{"seccomp: lock", "nobody: lock", func(p *Plan) { p.Change, p.Read = nil, append(p.Read, p.Change...) }},
		{"seccomp: make where others remove", "nobody: change", func(p *Plan) { p.Change = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			tt.change(&s.Plan)
			if got := played(t, s)[tt.attempt]; !strings.Contains(got, unix.EPERM.Error()) {
				t.Errorf("error %q, want %q", got, unix.EPERM)
			}
		})
	}
}

// TestRemovingAlone has a plan that removes files and changes none.
func TestRemovingAlone(t *testing.T) {
	s := newScene(t)
	s.Plan.Change = nil
	if got := played(t, s)["nobody: remove"]; got != "" {
		t.Errorf("error %q", got)
	}
}

// TestNeeds has a plan that opens sockets, devices and namespaces.
func TestNeeds(t *testing.T) {
	s := newScene(t)
	s.Plan.Sockets, s.Plan.Namespaces = true, true
	s.Plan.Devices = []string{filepath.Join(s.Folder, "change", "file")} // stands for one
	became := played(t, s)
	for name, want := range map[string]string{
		"seccomp: a local socket":      "no such file",
		"seccomp: another's namespace": "bad file descriptor",
		"seccomp: a shell":             "not permitted",
	} {
		if !strings.Contains(became[name], want) {
			t.Errorf("%s: error %q, want %q", name, became[name], want)
		}
	}
	if hasLandlock(t) && !strings.Contains(became["seccomp: write to /proc"], "denied") {
		t.Errorf("with devices, writing to /proc: error %q", became["seccomp: write to /proc"])
	}
}
