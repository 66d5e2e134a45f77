// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
	"golang.org/x/sys/unix"
)

// Maps are a collector's maps. They outlive what is attached, so that counts
// do.
type Maps struct {
	byName map[string]*ebpf.Map
	// variables are those that can be set while programs run.
	variables map[string]*ebpf.Variable
	fixed     map[string]uint64 // bytes of maps that have all their memory from the start
	clock     *metric.BootClock
	created   time.Duration // on that clock; 0 if the counts have not begun
	// adopted means that an earlier process created them.
	adopted bool
}

// NewMaps returns no maps: what is attached creates those that it needs.
func NewMaps() *Maps {
	m := &Maps{fixed: make(map[string]uint64), clock: metric.NewBootClock()}
	m.Close()
	return m
}

// Created returns when the counts began, as the wall clock has it now; the zero
// time if they have not.
func (m *Maps) Created() time.Time {
	if m.created == 0 {
		return time.Time{}
	}
	return m.clock.Wall(m.created)
}

// Adopted reports whether an earlier process created the maps.
func (m *Maps) Adopted() bool { return m.adopted }

// Get returns the map of a name, nil if nothing that was attached uses it.
func (m *Maps) Get(name string) *ebpf.Map { return m.byName[name] }

// Names returns the names of the maps in order, without the sections of
// variables.
func (m *Maps) Names() []string {
	names := slices.Sorted(maps.Keys(m.byName))
	return slices.DeleteFunc(names, isSection)
}

// Bytes returns the kernel memory of a map, if the kernel says. It is read
// from a file that is slow to make, so what does not change is kept.
func (m *Maps) Bytes(name string) (bytes uint64, ok bool) {
	if bytes, ok = m.fixed[name]; ok {
		return bytes, true
	}
	of := m.byName[name]
	info, err := of.Info()
	if err != nil {
		return 0, false
	}
	if bytes, ok = info.Memlock(); ok && of.Flags()&unix.BPF_F_NO_PREALLOC == 0 {
		m.fixed[name] = bytes
	}
	return bytes, ok
}

// Close lets go of the maps. What they counted is gone, unless they are pinned.
func (m *Maps) Close() {
	for _, one := range m.byName {
		one.Close()
	}
	m.byName, m.variables = make(map[string]*ebpf.Map), make(map[string]*ebpf.Variable)
	m.created, m.adopted = 0, false
	clear(m.fixed)
}

// drop lets go of one map.
func (m *Maps) drop(name string) {
	m.byName[name].Close()
	delete(m.byName, name)
	delete(m.fixed, name)
}

// keep decides which of the maps an object goes on with. Constants are new each
// time. A map that became too small, or is another by now, begins anew.
func (m *Maps) keep(obj *ebpf.CollectionSpec, sized map[string]bool) {
	for name, old := range m.byName {
		spec := obj.Maps[name]
		switch {
		case spec == nil || isConstant(name):
			m.drop(name)
		case sized[name] && !roomy(old, spec):
			m.drop(name)
		case sized[name]:
			spec.MaxEntries = old.MaxEntries()
		case old.MaxEntries() != spec.MaxEntries: // by an option
			m.drop(name)
		}
	}
}

// roomy reports whether a map has room for the rows that are asked for now.
// What was asked for has some for what is plugged in later.
func roomy(m *ebpf.Map, spec *ebpf.MapSpec) bool {
	return uint64(m.MaxEntries())*4 >= uint64(spec.MaxEntries)*3
}

// need creates those of the named maps that are not there yet, and returns
// their names.
func (m *Maps) need(obj *ebpf.CollectionSpec, names map[string]bool, opts ebpf.CollectionOptions) (fresh []string, err error) {
	part := &ebpf.CollectionSpec{
		Maps:      make(map[string]*ebpf.MapSpec),
		Variables: make(map[string]*ebpf.VariableSpec),
		Types:     obj.Types,
		ByteOrder: obj.ByteOrder,
	}
	for name, needed := range names {
		if needed && m.byName[name] == nil {
			part.Maps[name] = obj.Maps[name]
		}
	}
	if len(part.Maps) == 0 {
		return nil, nil
	}
	for name, v := range obj.Variables {
		if part.Maps[v.SectionName] != nil {
			part.Variables[name] = v
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(part, opts)
	if err != nil {
		return nil, fmt.Errorf("creating maps: %w", err)
	}
	maps.Copy(m.byName, coll.Maps)
	if m.created == 0 {
		m.created = m.clock.Now()
	}
	return slices.Collect(maps.Keys(coll.Maps)), nil
}

// live prepares the named variables, which are not constant, to be set while
// programs run.
func (m *Maps) live(obj *ebpf.CollectionSpec, names []string) error {
	if len(names) == 0 {
		return nil
	}
	part := &ebpf.CollectionSpec{
		Maps:      make(map[string]*ebpf.MapSpec),
		Variables: make(map[string]*ebpf.VariableSpec),
	}
	present := make(map[string]*ebpf.Map)
	for _, name := range names {
		v := obj.Variables[name]
		if m.byName[v.SectionName] == nil {
			continue // no program is in use
		}
		part.Variables[name] = v
		part.Maps[v.SectionName], present[v.SectionName] = obj.Maps[v.SectionName], m.byName[v.SectionName]
	}
	if len(present) == 0 {
		return nil
	}
	coll, err := ebpf.NewCollectionWithOptions(part, ebpf.CollectionOptions{MapReplacements: present})
	if err != nil {
		return fmt.Errorf("reaching variables: %w", err)
	}
	defer coll.Close()
	m.variables = coll.Variables
	return nil
}

// set sets a variable while programs run.
func (m *Maps) set(name string, value collector.Value) error {
	v := m.variables[name]
	if v == nil {
		return errors.New("it is constant while programs run, or no program uses it")
	}
	bytes, err := raw(value, int(v.Size()))
	if err != nil {
		return err
	}
	return v.Set(bytes)
}

// isSection reports whether a map holds variables: their sections' names start
// with a dot.
func isSection(name string) bool { return strings.HasPrefix(name, ".") }

// isConstant reports whether a map holds constants, which are frozen before
// programs are loaded.
func isConstant(name string) bool { return strings.HasPrefix(name, ".rodata") }
