// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// moment is what a scenario saw at one time.
type moment struct {
	// Thread is the one that saw it, Main the process's first.
	Thread, Main int
	// Threads hold, by number, what the status of each says of privileges.
	Threads map[int]map[string]string
	// Err is the error of what was done then, or what it panicked with.
	Err string
}

// now looks at all threads.
func now(err error) moment {
	m := moment{Thread: unix.Gettid(), Main: os.Getpid(), Threads: threads()}
	if err != nil {
		m.Err = err.Error()
	}
	return m
}

// hold is a plan's list of needs.
func hold(capabilities ...string) []Need {
	var needs []Need
	for _, c := range capabilities {
		needs = append(needs, Need{c, "what it is for", "what it costs"})
	}
	return needs
}

// holding are the scenarios that hold capabilities.
var holding = map[string]func() report{
	"hold two":        func() report { return held(Plan{Hold: hold("CAP_BPF", "CAP_PERFMON")}, everyEnding) },
	"hold for two":    func() report { return held(Plan{Hold: twoReasons()}, nil) },
	"hold and keep":   func() report { return held(Plan{Keep: []string{"cap_kill"}, Hold: hold("cap_bpf")}, everyEnding) },
	"hold forbidden":  func() report { return held(Plan{Hold: hold("cap_bpf"), Forbid: "the flag"}, refused) },
	"hold unknown":    func() report { return held(Plan{Hold: hold("cap_bpf", "cap_foo")}, nil) },
	"hold one of two": func() report { return held(Plan{Hold: hold("cap_bpf", "cap_net_admin")}, refused) },
	"hold what is kept": func() report {
		return held(Plan{Keep: []string{"cap_sys_admin"}, Hold: hold("cap_bpf", "cap_perfmon")}, refused)
	},
	"hold what works needs": func() report { return held(Plan{Hold: hold("cap_bpf"), Works: needs("cap_bpf")}, refused) },
	"hold in works":         holdInWorks,
	"hold in threads":       func() report { return held(Plan{Hold: hold("cap_bpf")}, newThreads) },
	"hold in programs":      func() report { return held(Plan{Hold: hold("cap_bpf")}, programs) },
	"hold and hang":         func() report { return held(Plan{Hold: hold("cap_bpf", "cap_perfmon")}, hang) },
	"hold for ever":         func() report { return held(Plan{Hold: hold("cap_bpf")}, unlowered) },
	"hold and load":         func() report { return held(Plan{Hold: hold("cap_bpf", "cap_perfmon")}, load) },
	"hold and nest":         func() report { return held(Plan{Hold: hold("cap_bpf", "cap_perfmon")}, nest) },
	"hold and count": func() report {
		return held(Plan{Hold: hold("cap_perfmon", "cap_sys_admin")}, count)
	},
	"hold nothing yet": undropped,
}

// twoReasons are needs of the same capability, one of them twice.
func twoReasons() []Need {
	other := Need{"cap_bpf", "another reason", "another cost"}
	return append(hold("cap_bpf"), other, other)
}

// held plays a scenario after a Drop that succeeds.
func held(p Plan, scenario func(h *Holder, r *report)) report {
	if p.Works == nil {
		p.Works = nothing
	}
	r := report{Moments: make(map[string]moment)}
	var h Holder
	out, err := h.Drop(p)
	r.Kept, r.Held, r.Denied = out.Kept, out.Held, out.Denied
	r.Moments["dropped"] = now(err)
	if err == nil && scenario != nil {
		scenario(&h, &r)
	}
	return r
}

// everyEnding lets functions end in every way there is.
func everyEnding(h *Holder, r *report) {
	for name, end := range map[string]func() error{
		"return": func() error { return nil },
		"error":  func() error { return io.ErrUnexpectedEOF },
		"panic":  func() error { panic(io.ErrClosedPipe) },
		"exit":   func() error { runtime.Goexit(); return nil },
		// A function that needs its thread for itself, and spoils it.
		"lock": func() error { runtime.LockOSThread(); return nil },
	} {
		var caller sync.WaitGroup
		caller.Go(func() {
			defer func() {
				if v, ok := recover().(error); ok {
					r.Moments["after "+name] = now(v)
				}
			}()
			err := h.Do([]string{"cap_bpf"}, func() error {
				r.Moments["during "+name] = now(nil)
				return end()
			})
			r.Moments["after "+name] = now(err)
		})
		caller.Wait()
		if _, ok := r.Moments["after "+name]; !ok {
			r.Moments["after "+name] = now(errors.New("its goroutine ended"))
		}
	}
}

// refused asks for a capability that may not be held, and for a map that takes
// it.
func refused(h *Holder, r *report) {
	err := h.Do([]string{"cap_bpf", "cap_net_admin", "cap_syslog"}, func() error {
		r.Moments["during"] = now(nil)
		return syscall.EPERM
	})
	r.Moments["after"] = now(err)
	err = h.Do([]string{"cap_net_admin"}, func() error { return io.EOF })
	r.Moments["another error"] = now(err)
	err = h.Do([]string{"cap_bpf", "nonsense"}, func() error {
		r.Moments["during nonsense"] = now(nil)
		return nil
	})
	r.Moments["nonsense"] = now(err)
}

// holdInWorks raises while Drop tries what works.
func holdInWorks() report {
	r := report{Moments: make(map[string]moment)}
	var h Holder
	out, err := h.Drop(Plan{Hold: hold("cap_bpf"), Works: func() error {
		return h.Do([]string{"cap_bpf"}, func() error {
			r.Moments["during"] = now(nil)
			return needs("cap_bpf")()
		})
	}})
	r.Kept, r.Held = out.Kept, out.Held
	r.Moments["dropped"] = now(err)
	return r
}

// newThreads makes the raised thread start others.
func newThreads(h *Holder, r *report) {
	runtime.GOMAXPROCS(8)
	before := threads()
	err := h.Do([]string{"cap_bpf"}, func() error {
		var started, ended sync.WaitGroup
		release := make(chan struct{})
		for range 32 {
			started.Add(1)
			ended.Go(func() {
				runtime.LockOSThread()
				started.Done()
				<-release
			})
		}
		started.Wait()
		m := now(nil)
		for tid := range before {
			if tid != m.Thread {
				delete(m.Threads, tid)
			}
		}
		r.Moments["during"] = m
		close(release)
		ended.Wait()
		return nil
	})
	r.Moments["after"] = now(err)
}

// programs starts one while raised.
func programs(h *Holder, r *report) {
	err := h.Do([]string{"cap_bpf"}, func() error {
		status, err := exec.Command("cat", "/proc/self/status").Output()
		r.Program = privileges(status)
		return err
	})
	r.Moments["after"] = now(err)
}

// hang calls Do while another call does not return.
func hang(h *Holder, r *report) {
	release, hanging := make(chan struct{}), make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		must(h.Do([]string{"cap_perfmon"}, func() error {
			close(hanging)
			<-release
			return nil
		}))
	})
	<-hanging
	err := h.Do([]string{"cap_bpf"}, func() error {
		r.Moments["both"] = now(nil)
		return nil
	})
	r.Moments["one"] = now(err)
	close(release)
	other.Wait()
	r.Moments["none"] = now(nil)
}

// nest calls Do in Do.
func nest(h *Holder, r *report) {
	err := h.Do([]string{"cap_bpf"}, func() error {
		return h.Do([]string{"cap_bpf", "cap_perfmon"}, func() error {
			r.Moments["inner"] = now(nil)
			return nil
		})
	})
	r.Moments["after"] = now(err)
}

// unlowered makes a raised thread that the kernel does not let be lowered: a
// filter of its system calls refuses capset.
func unlowered(h *Holder, r *report) {
	var tid int
	err := h.Do([]string{"cap_bpf"}, func() error {
		tid = unix.Gettid()
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the call
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CAPSET, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		must(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
		r.Moments["during"] = now(nil)
		return nil
	})
	// Go ends the thread some time after the goroutine.
	for range 10000 {
		if _, err := os.Stat(filepath.Join("/proc/self/task", strconv.Itoa(tid))); errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.Moments["after"] = now(err)
	err = h.Do([]string{"cap_bpf"}, func() error { return needs("cap_bpf")() })
	r.Moments["another"] = now(err)
}

// load does what attaching does, with and without Do.
func load(h *Holder, r *report) {
	use := func() error {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1})
		if err != nil {
			return err
		}
		defer m.Close()
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type:         ebpf.RawTracepoint,
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
			License:      "GPL",
		})
		if err != nil {
			return err
		}
		defer p.Close()
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sched_process_exit", Program: p})
		if err != nil {
			return err
		}
		return l.Close()
	}
	r.Moments["without"] = now(use())
	r.Moments["with"] = now(h.Do([]string{"CAP_BPF", "CAP_PERFMON"}, use))
	r.Moments["without again"] = now(use())
	r.Moments["with too little"] = now(h.Do([]string{"CAP_PERFMON"}, use))
}

// count opens an event of perf for all tasks of a CPU, as is done when a CPU
// comes on.
func count(h *Holder, r *report) {
	open := func() error {
		attr := unix.PerfEventAttr{
			Type:   unix.PERF_TYPE_SOFTWARE,
			Size:   unix.PERF_ATTR_SIZE_VER0,
			Config: unix.PERF_COUNT_SW_DUMMY,
			Sample: 1,
		}
		fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	r.Moments["without"] = now(open())
	r.Moments["with one"] = now(h.Do([]string{"CAP_PERFMON"}, open))
	r.Moments["with both"] = now(h.Do([]string{"CAP_PERFMON", "CAP_SYS_ADMIN"}, open))
}

// undropped calls Do where nothing was given up.
func undropped() report {
	r := report{Moments: make(map[string]moment)}
	runtime.LockOSThread()
	caller := now(nil)
	r.Moments["caller"] = caller
	for name, h := range map[string]*Holder{"nil": nil, "zero": {}} {
		r.Moments[name] = now(h.Do([]string{"cap_bpf"}, func() error {
			r.Moments["during "+name] = now(nil)
			return io.EOF
		}))
	}
	return r
}
