// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Watch finds tasks that the kernel hides from programs. Kernels of sandboxes
// may run no program while certain processes are current: what these do, and
// what interrupts do meanwhile, is shown to no program and not counted as
// missed. The kernel's own accounts of tasks have them all the same.
type Watch struct {
	t    testing.TB
	seen *ebpf.Map // the tasks that a program has seen leave a CPU
	then map[string]Turns
}

// Hidden is what tasks did that no program could see.
type Hidden struct {
	Turns
	tasks []string
}

// String names the tasks.
func (h Hidden) String() string {
	return fmt.Sprintf("the kernel hid %d stints of %s from programs", h.Stints, strings.Join(unique(h.tasks), ", "))
}

// Events returns how many of so many events programs may have missed, if that
// many can happen in a stint. In the last attempt it is a quarter at most: that
// more happened to be hidden in every attempt would be no accident.
func (h Hidden) Events(of, perStint int, last bool) int {
	if last {
		of /= 4
	}
	return min(of, int(h.Stints)*perStint)
}

// WatchHidden watches for hidden tasks until the test ends. The matrix's kernels hide nothing.
// Neither is anything found where programs know tasks by other numbers than
// this process does, as in a container.
func WatchHidden(t testing.TB) *Watch {
	t.Helper()
	if Kernel() != "" {
		return nil
	}
	Open(t)
	// It must have room for all tasks that run meanwhile.
	seen, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1 << 16})
	if err != nil {
		t.Fatal("making a map of tasks:", err)
	}
	t.Cleanup(func() { seen.Close() })
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.RawTracepoint, License: "GPL",
		Instructions: asm.Instructions{
			asm.FnGetCurrentPidTgid.Call(),
			asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
			asm.LoadMapPtr(asm.R1, seen.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.Mov.Reg(asm.R3, asm.R2),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnMapUpdateElem.Call(),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatal("loading a program that sees tasks:", err)
	}
	defer program.Close()
	attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sched_switch", Program: program})
	if err != nil {
		t.Fatal("attaching a program that sees tasks:", err)
	}
	t.Cleanup(func() { attached.Close() })
	w := &Watch{t, seen, turnsOfAll(t)}
	if !w.sawThis() {
		return nil
	}
	return w
}

// sawThis reports whether the program sees the calling thread under its number.
func (w *Watch) sawThis() bool {
	w.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	folder := fmt.Sprintf("/proc/self/task/%d", unix.Gettid())
	for range 100 {
		if w.saw(folder) {
			return true
		}
	}
	return false
}

// Hidden returns what was hidden since the watch began. A task that had a turn, and
// has none now, has left a CPU: the program has seen that, or nothing of it.
func (w *Watch) Hidden() (h Hidden) {
	if w == nil {
		return h
	}
	w.t.Helper()
	for folder, turns := range turnsOfAll(w.t) {
		then := w.then[folder]
		if turns.Stints == then.Stints || running(folder) || w.saw(folder) {
			continue
		}
		h.Ran += turns.Ran - then.Ran
		h.Waited += turns.Waited - then.Waited
		h.Stints += turns.Stints - then.Stints
		name, _ := os.ReadFile(folder + "/comm")
		h.tasks = append(h.tasks, strings.TrimSpace(string(name)))
	}
	return h
}

// saw reports whether the program has seen the task.
func (w *Watch) saw(folder string) bool {
	tid, err := strconv.ParseUint(filepath.Base(folder), 10, 32)
	if err != nil {
		w.t.Fatal(err)
	}
	key, value := uint32(tid), uint32(0)
	if w.seen.Lookup(&key, &value) == nil {
		return true
	}
	time.Sleep(time.Millisecond) // it may be about to leave its CPU
	return w.seen.Lookup(&key, &value) == nil
}

// running reports whether a task has a turn now, or will have one soon.
func running(folder string) bool {
	text, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return true // it has died: nobody knows
	}
	_, state, _ := strings.Cut(string(text)[strings.LastIndexByte(string(text), ')')+1:], " ")
	return strings.HasPrefix(state, "R")
}
