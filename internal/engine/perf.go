// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

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
	events map[int]int // descriptors by CPU
}

func attachEveryCPU(name string, prog *ebpf.Program) (*everyCPU, error) {
	number, ok := kernel.SoftwareEvent(name)
	if !ok {
		return nil, fmt.Errorf("no software event of perf is called %s", name)
	}
	a := &everyCPU{name: name, prog: prog, number: number, events: make(map[int]int)}
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
	for cpu, fd := range a.events {
		if !slices.Contains(cpus, cpu) || !isOn(fd) {
			unix.Close(fd)
			delete(a.events, cpu)
		}
	}
	for _, cpu := range cpus {
		if _, ok := a.events[cpu]; ok {
			continue
		}
		fd, err := a.open(cpu)
		if err != nil {
			return fmt.Errorf("watching %s on CPU %d: %w", a.name, cpu, err)
		}
		a.events[cpu] = fd
	}
	return nil
}

func (a *everyCPU) open(cpu int) (fd int, err error) {
	if fd, err = kernel.OpenSoftwareEvent(a.number, cpu); err != nil {
		return -1, err
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, a.prog.FD()); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("setting the program: %w", err)
	}
	return fd, nil
}

// isOn says whether an event is on: then its time runs. Where the kernel's clock
// is coarse it stands still for up to a tick, 10 ms.
func isOn(fd int) bool {
	first, err := timeOn(fd)
	for begin := time.Now(); err == nil && time.Since(begin) < 20*time.Millisecond; time.Sleep(time.Millisecond) {
		var now uint64
		if now, err = timeOn(fd); err == nil && now > first {
			return true
		}
	}
	return false
}

// timeOn is how long an event has been on, in ns.
func timeOn(fd int) (uint64, error) {
	var read [16]byte // occurrences, time
	if _, err := unix.Read(fd, read[:]); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(read[8:]), nil
}

// Close detaches the program from all CPUs.
func (a *everyCPU) Close() error {
	for _, fd := range a.events {
		unix.Close(fd)
	}
	clear(a.events)
	return nil
}
