// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
)

// everyCPU is a program attached to a software event of perf on every CPU that
// is on. An event ends when its CPU is turned off, and stays ended when the CPU
// comes back; so the CPUs are followed at every reading.
type everyCPU struct {
	name   string
	prog   *ebpf.Program
	number uint64
	events map[int]*cpuEvent // by CPU
}

// cpuEvent is an event of perf on one CPU.
type cpuEvent struct {
	fd int
	on uint64 // how long it had been on when last asked, in ns
}

func attachEveryCPU(name string, prog *ebpf.Program) (*everyCPU, error) {
	number, ok := kernel.SoftwareEvent(name)
	if !ok {
		return nil, fmt.Errorf("no software event of perf is called %s", name)
	}
	a := &everyCPU{name: name, prog: prog, number: number, events: make(map[int]*cpuEvent)}
	if err := a.follow(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// follow attaches to CPUs that have come on and leaves those that are off.
// Before it did, what happened on a CPU that came on was not seen.
func (a *everyCPU) follow() error {
	cpus, err := kernel.OnlineCPUs()
	if err != nil {
		return err
	}
	for cpu, event := range a.events {
		if !slices.Contains(cpus, cpu) || !event.counts() {
			unix.Close(event.fd)
			delete(a.events, cpu)
		}
	}
	for _, cpu := range cpus {
		if a.events[cpu] != nil {
			continue
		}
		event, err := a.open(cpu)
		if err != nil {
			return fmt.Errorf("watching %s on CPU %d: %w", a.name, cpu, err)
		}
		a.events[cpu] = event
	}
	return nil
}

func (a *everyCPU) open(cpu int) (*cpuEvent, error) {
	fd, err := kernel.OpenSoftwareEvent(a.number, cpu)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, a.prog.FD()); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("setting the program: %w", err)
	}
	return &cpuEvent{fd: fd}, nil
}

// counts says whether the event is on: then its time runs.
func (e *cpuEvent) counts() bool {
	var read [16]byte // occurrences, time
	if n, err := unix.Read(e.fd, read[:]); err != nil || n != len(read) {
		return false
	}
	before := e.on
	e.on = binary.NativeEndian.Uint64(read[8:])
	return e.on > before
}

// Close detaches the program from all CPUs.
func (a *everyCPU) Close() error {
	for _, event := range a.events {
		unix.Close(event.fd)
	}
	clear(a.events)
	return nil
}
