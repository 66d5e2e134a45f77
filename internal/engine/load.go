// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/label"
)

// C variables that the engine sets in every object that has them.
const (
	varBounds = "cfg_hist_bounds" // [8]u64: the histogram's bounds for the unit
	varLoad   = "cfg_load_ns"     // u64: CLOCK_MONOTONIC at load
	varPage   = "cfg_page_shift"  // u32: log2 of the size of a page
)

// configure sets the object's variables for this machine and these options.
func configure(spec collector.Spec, obj *ebpf.CollectionSpec, cfg *Config) error {
	if v := obj.Variables[varBounds]; v != nil {
		if err := v.Set(cfg.Layout.Unit().Bounds()); err != nil {
			return err
		}
	}
	if v := obj.Variables[varLoad]; v != nil {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return fmt.Errorf("reading the clock: %w", err)
		}
		if err := v.Set(uint64(now.Nano())); err != nil {
			return err
		}
	}
	if v := obj.Variables[varPage]; v != nil {
		if err := v.Set(uint32(bits.TrailingZeros(uint(os.Getpagesize())))); err != nil {
			return err
		}
	}
	for _, t := range spec.Tables {
		if err := setTable(obj, t); err != nil {
			return err
		}
	}
	for _, m := range spec.Maps {
		if m.Size == nil || obj.Maps[m.Name] == nil {
			continue
		}
		rows, err := m.Size()
		if err != nil {
			return fmt.Errorf("sizing map %s: %w", m.Name, err)
		}
		obj.Maps[m.Name].MaxEntries = rows
	}
	for _, o := range spec.Options {
		if o.Variable == "" {
			continue
		}
		v := obj.Variables[o.Variable]
		if v == nil {
			return fmt.Errorf("option %s: the object has no variable %s", o.Name, o.Variable)
		}
		if err := v.Set(cfg.on(spec.Name, o.Name)); err != nil {
			return err
		}
	}
	return nil
}

func setTable(obj *ebpf.CollectionSpec, t collector.SyscallTable) error {
	v := obj.Variables[t.Variable]
	if v == nil {
		return fmt.Errorf("the object has no variable %s", t.Variable)
	}
	number := label.SyscallNumber
	if t.Compat {
		number = label.CompatSyscallNumber
	}
	table := make([]byte, v.Size())
	for name, value := range t.Values {
		n, ok := number(name)
		if !ok {
			continue
		}
		if int(n) >= len(table) {
			return fmt.Errorf("%s has %d elements, and the number of %s is %d", t.Variable, len(table), name, n)
		}
		table[n] = value
	}
	return v.Set(table)
}

// load brings the object into the kernel, without attaching it.
func load(obj *ebpf.CollectionSpec, m *kernel.Machine) (*ebpf.Collection, error) {
	return ebpf.NewCollectionWithOptions(obj, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{KernelTypes: m.External()},
		Cache:    m.Cache(),
	})
}

// reserve creates the rows for what does not fit, unless they are there, and
// returns their keys.
func reserve(maps []collector.Map, obj *ebpf.CollectionSpec, coll *ebpf.Collection) (map[string]map[string]bool, error) {
	reserved := make(map[string]map[string]bool)
	for _, m := range maps {
		loaded := coll.Maps[m.Name]
		if loaded == nil {
			continue // pruned: the options leave it out
		}
		keys, err := reservedKeys(m.Other, obj.Maps[m.Name])
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", m.Name, err)
		}
		if m.Owners != nil {
			owner, err := find(obj.Maps[m.Name].Key, m.Owners.Field)
			if err != nil {
				return nil, fmt.Errorf("key of map %s: %w", m.Name, err)
			}
			for _, key := range keys { // those so far
				keys = append(keys, owner.ownerless(bytes.Clone(key)))
			}
		}
		reserved[m.Name] = make(map[string]bool)
		zero, err := zeroValue(loaded)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			reserved[m.Name][string(key)] = true
			if err := loaded.Update(key, zero, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
				return nil, fmt.Errorf("reserving a row of map %s: %w", m.Name, err)
			}
		}
	}
	return reserved, nil
}

func reservedKeys(enumMember string, spec *ebpf.MapSpec) ([][]byte, error) {
	if enumMember == "" {
		return [][]byte{make([]byte, spec.KeySize)}, nil
	}
	m, err := find(spec.Key, enumMember)
	if err != nil {
		return nil, err
	}
	enum, ok := m.typ.(*btf.Enum)
	if !ok || m.size != 4 {
		return nil, fmt.Errorf("%s is no 32-bit enum", enumMember)
	}
	var keys [][]byte
	for _, v := range enum.Values {
		key := make([]byte, spec.KeySize)
		binary.NativeEndian.PutUint32(key[m.offset:], uint32(v.Value))
		keys = append(keys, key)
	}
	return keys, nil
}

func zeroValue(m *ebpf.Map) (any, error) {
	if m.Type() != ebpf.PerCPUHash {
		return make([]byte, m.ValueSize()), nil
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("counting CPUs: %w", err)
	}
	values := make([][]byte, cpus)
	for i := range values {
		values[i] = make([]byte, m.ValueSize())
	}
	return values, nil
}

// attach attaches a loaded program where its section says.
func attach(spec *ebpf.ProgramSpec, prog *ebpf.Program) (attachment, error) {
	switch spec.Type {
	case ebpf.Tracing:
		return link.AttachTracing(link.TracingOptions{Program: prog})
	case ebpf.RawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: spec.AttachTo, Program: prog})
	case ebpf.PerfEvent:
		return attachEveryCPU(spec, prog)
	case ebpf.Kprobe:
		if strings.HasPrefix(spec.SectionName, "kretprobe/") {
			return link.Kretprobe(spec.AttachTo, prog, nil)
		}
		return link.Kprobe(spec.AttachTo, prog, nil)
	}
	return nil, fmt.Errorf("a program of type %v cannot be attached by the engine", spec.Type)
}

// explain makes a problem of an error at load or attach.
func explain(doing string, err error) *Problem {
	reason := strings.ReplaceAll(fmt.Sprintf("%s: %v", doing, err), "\n", "; ") // joined errors
	p := &Problem{Status: Failed, Reason: reason}
	var refused *ebpf.VerifierError
	switch {
	case errors.As(err, &refused):
		p.Reason = fmt.Sprintf("%s: the kernel's verifier refused the program: %v", doing, err)
		p.Remedy = "report this with the output of \"kernscope doctor\" and \"uname -r\"; --collector.NAME=false leaves the collector out"
		p.Detail = fmt.Sprintf("%+v", refused)
		if kernel.Lockdown() == "confidentiality" {
			p.Remedy = "the kernel is locked down (lockdown=confidentiality) and lets no program copy kernel memory, as this one must: boot with lockdown=integrity"
		}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		p.Remedy = "run as root, or grant CAP_BPF and CAP_PERFMON; if it was attached and a CPU has come on since, keep what is dropped: --keep-capabilities=cap_perfmon"
	case errors.Is(err, unix.ENOMEM):
		p.Remedy = "the kernel refused the memory: see kernscope_map_bytes for what collectors take"
	}
	return p
}
