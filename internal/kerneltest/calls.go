// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Calls counts the system calls of other processes.
type Calls struct {
	t      testing.TB
	counts *ebpf.Map
}

// mostCalls is the first number that Calls does not tell from larger ones.
const mostCalls = 1023

// WatchCalls counts the calls of others until the test ends, by a program of its own.
func WatchCalls(t testing.TB) *Calls {
	t.Helper()
	Open(t)
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: mostCalls + 1})
	if err != nil {
		t.Fatal("making a map of calls:", err)
	}
	t.Cleanup(func() { counts.Close() })
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.RawTracepoint, License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R6, asm.R1, 8, asm.DWord), // the number
			asm.FnGetCurrentPidTgid.Call(),
			asm.RSh.Imm(asm.R0, 32),
			asm.JEq.Imm(asm.R0, int32(os.Getpid()), "out"),
			asm.JLT.Imm(asm.R6, mostCalls, "known"),
			asm.Mov.Imm(asm.R6, mostCalls),
			asm.StoreMem(asm.RFP, -4, asm.R6, asm.Word).WithSymbol("known"),
			asm.LoadMapPtr(asm.R1, counts.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Imm(asm.R1, 1),
			asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatal("loading a program that counts calls:", err)
	}
	defer program.Close()
	attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: program})
	if err != nil {
		t.Fatal("attaching a program that counts calls:", err)
	}
	t.Cleanup(func() { attached.Close() })
	c := &Calls{t, counts}
	// In a container, programs know this process by another number. Its own
	// calls would excuse everything.
	const calls = 1000
	before := c.Of(unix.SYS_SCHED_GET_PRIORITY_MIN)
	for range calls {
		unix.RawSyscall(unix.SYS_SCHED_GET_PRIORITY_MIN, 0, 0, 0)
	}
	if c.Of(unix.SYS_SCHED_GET_PRIORITY_MIN)-before >= calls {
		return nil
	}
	return c
}

// Of returns how often others have made a call since the watch began. Numbers beyond
// all that there are count as one, and 32-bit programs' like the others.
func (c *Calls) Of(number uint32) int {
	if c == nil {
		return 0
	}
	c.t.Helper()
	key, count := min(number, mostCalls), uint64(0)
	if err := c.counts.Lookup(&key, &count); err != nil {
		c.t.Fatal("reading the calls of others:", err)
	}
	return int(count)
}
