// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
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
	pins   string // what the names of its pins begin with, "" if it has none
	events map[period]io.Closer
}

// period is a time for which a CPU is on.
type period struct {
	cpu    int
	number uint64 // of [kernel.OnlineCPUs]; 0 if it is not known
}

func newEveryCPU(spec *ebpf.ProgramSpec, prog *ebpf.Program) (*everyCPU, error) {
	name := strings.TrimPrefix(spec.SectionName, "perf_event/")
	number, ok := kernel.SoftwareEvent(name)
	if !ok {
		return nil, fmt.Errorf("no software event of perf is called %s", name)
	}
	return &everyCPU{name: name, prog: prog, number: number, events: make(map[period]io.Closer)}, nil
}

func attachEveryCPU(spec *ebpf.ProgramSpec, prog *ebpf.Program) (*everyCPU, error) {
	a, err := newEveryCPU(spec, prog)
	if err != nil {
		return nil, err
	}
	if err := a.follow(); err != nil {
		a.Close()
		return nil, attaching(err, kernel.PermitPerf)
	}
	return a, nil
}

// adoptEveryCPU takes over what was pinned under names that begin with the
// path.
func adoptEveryCPU(spec *ebpf.ProgramSpec, prog *ebpf.Program, path string) (*everyCPU, error) {
	a, err := newEveryCPU(spec, prog)
	if err != nil {
		return nil, err
	}
	a.pins = path
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+"-")
		if !ok {
			continue
		}
		p, err := parsePeriod(suffix)
		if err != nil {
			a.Close()
			return nil, fmt.Errorf("pin %s: %w", e.Name(), err)
		}
		l, err := loadEvent(a.pin(p), prog)
		if err != nil {
			a.Close()
			return nil, fmt.Errorf("pin %s: %w", e.Name(), err)
		}
		a.events[p] = l
	}
	return a, nil
}

// loadEvent returns the link that is pinned, which must be the program's.
func loadEvent(path string, prog *ebpf.Program) (link.Link, error) {
	id, err := programID(prog)
	if err != nil {
		return nil, err
	}
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return nil, err
	}
	info, err := l.Info()
	if err == nil && (uint32(info.Program) != id || info.Type != link.PerfEventType) {
		err = errors.New("it is not the program's event of perf")
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// follow attaches to CPUs that have come on and leaves those that are off.
// Before it did, what happened on a CPU that came on was not seen.
func (a *everyCPU) follow() error {
	cpus, known := kernel.OnlineCPUs()
	if !known {
		return a.try()
	}
	on := make(map[period]bool)
	for cpu, number := range cpus {
		on[period{cpu, number}] = true
	}
	for p := range a.events {
		if !on[p] {
			if err := a.leave(p); err != nil {
				return err
			}
		}
	}
	for p := range on {
		if a.events[p] != nil {
			continue
		}
		if err := a.enter(p); err != nil {
			return fmt.Errorf("watching %s on CPU %d: %w", a.name, p.cpu, err)
		}
	}
	return nil
}

// try attaches to every CPU that is on and has no event, where only trying tells
// which are on. An event that ended with its CPU cannot be told from others. Once
// there are events and the right to open more was given up, there are no others.
func (a *everyCPU) try() error {
	watched := make(map[int]bool)
	for p := range a.events {
		watched[p.cpu] = true
	}
	for cpu := 0; ; cpu++ {
		if watched[cpu] {
			continue
		}
		err := a.enter(period{cpu: cpu})
		switch {
		case err == nil, errors.Is(err, unix.ENODEV):
		case len(watched) > 0 && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)):
			return nil
		case len(a.events) > 0 && errors.Is(err, unix.EINVAL):
			return nil // the kernel cannot have so many
		default:
			return fmt.Errorf("watching %s on CPU %d: %w", a.name, cpu, err)
		}
	}
}

func (a *everyCPU) leave(p period) error {
	a.events[p].Close()
	delete(a.events, p)
	if a.pins == "" {
		return nil
	}
	if err := os.Remove(a.pin(p)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the pin of an event that has ended: %w", err)
	}
	return nil
}

func (a *everyCPU) enter(p period) error {
	event, err := a.open(p.cpu)
	if err != nil {
		return err
	}
	if a.pins != "" {
		err := pinEvent(event, a.pin(p))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // all pins were removed
			event.Close()
			return fmt.Errorf("pinning: %w", err)
		}
	}
	a.events[p] = event
	return nil
}

// open attaches to the event on a CPU: by a link, which keeps the event, or, on
// kernels before b89fbfbb854c "bpf: Implement minimal BPF perf link", which is
// in Linux 5.15, by the event itself.
func (a *everyCPU) open(cpu int) (io.Closer, error) {
	fd, err := kernel.OpenSoftwareEvent(a.number, cpu)
	if err != nil {
		return nil, err
	}
	event := os.NewFile(uintptr(fd), "event")
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: fd, Program: a.prog, Attach: ebpf.AttachPerfEvent})
	if err == nil {
		event.Close()
		return l, nil
	}
	if errors.Is(err, unix.EINVAL) {
		err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, a.prog.FD())
	}
	if err != nil {
		event.Close()
		return nil, fmt.Errorf("setting the program: %w", err)
	}
	return event, nil
}

// Pin pins every CPU's link under a name that begins with the path.
func (a *everyCPU) Pin(path string) error {
	a.pins = path
	for p, event := range a.events {
		if err := pinEvent(event, a.pin(p)); err != nil {
			a.pins = ""
			return err
		}
	}
	return nil
}

func pinEvent(event io.Closer, path string) error {
	l, ok := event.(link.Link)
	if !ok {
		return errors.New("events of perf cannot be pinned before Linux 5.15")
	}
	return l.Pin(path)
}

func (a *everyCPU) pin(p period) string { return fmt.Sprintf("%s-%d-%d", a.pins, p.cpu, p.number) }

func parsePeriod(text string) (p period, err error) {
	cpu, number, _ := strings.Cut(text, "-")
	if p.cpu, err = strconv.Atoi(cpu); err != nil {
		return p, err
	}
	p.number, err = strconv.ParseUint(number, 10, 64)
	return p, err
}

// Close lets go of the events: the program is detached from those that are not
// pinned.
func (a *everyCPU) Close() error {
	for _, event := range a.events {
		event.Close()
	}
	clear(a.events)
	return nil
}
