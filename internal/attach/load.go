// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"maps"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
)

// loader loads programs of an object with maps that are shared by all of them.
type loader struct {
	obj   *ebpf.CollectionSpec
	spec  *collector.Spec
	maps  *Maps
	opts  ebpf.CollectionOptions
	fresh []string // maps that were created
	// prepare is that of [Config].
	prepare func(name string, def *ebpf.MapSpec, m *ebpf.Map) error
}

func newLoader(p *Plan, m *Maps) (*loader, error) {
	l := &loader{obj: p.obj, spec: &p.cfg.Spec, maps: m, prepare: p.cfg.Prepare}
	if len(p.obj.Programs) == 0 {
		return l, nil
	}
	var err error
	if l.opts, err = p.cfg.Machine.LoadOptions(p.cfg.module()); err != nil {
		return nil, err
	}
	if p.cfg.Spec.Module != nil && p.cfg.Spec.Module.Types != nil && l.opts.Programs.ExtraRelocationTargets == nil {
		// Only ways that need the types are refused without them.
		if types, err := moduleTypes(p.cfg.Machine, p.cfg.Spec.Module); err == nil {
			l.opts.Programs.ExtraRelocationTargets = []*btf.Spec{types}
		}
	}
	m.keep(p.obj, sized(p.cfg.Spec.Tables))
	return l, nil
}

// load loads programs and the maps that they use.
func (l *loader) load(s *Set, programs []string) error {
	part := &ebpf.CollectionSpec{
		Maps:      make(map[string]*ebpf.MapSpec),
		Programs:  make(map[string]*ebpf.ProgramSpec),
		Types:     l.obj.Types,
		ByteOrder: l.obj.ByteOrder,
	}
	names := make(map[string]bool)
	for name := range l.obj.Maps {
		names[name] = isSection(name)
	}
	maps.DeleteFunc(names, func(_ string, used bool) bool { return !used })
	for _, name := range programs {
		part.Programs[name] = l.obj.Programs[name]
		uses(l.obj.Programs[name], names)
	}
	fresh, err := l.maps.need(l.obj, l.withCompanions(names), l.opts)
	if err != nil {
		return err
	}
	if err := l.prepareAll(fresh); err != nil {
		return err
	}
	l.fresh = append(l.fresh, fresh...)
	opts := l.opts
	opts.MapReplacements = make(map[string]*ebpf.Map)
	for name := range names {
		part.Maps[name], opts.MapReplacements[name] = l.obj.Maps[name], l.maps.Get(name)
	}
	coll, err := ebpf.NewCollectionWithOptions(part, opts)
	if err != nil {
		return err
	}
	defer coll.Close() // of the maps' duplicates
	maps.Copy(s.programs, coll.Programs)
	clear(coll.Programs)
	return nil
}

// withCompanions returns the names of maps, and of those that user space keeps
// beside them.
func (l *loader) withCompanions(names map[string]bool) map[string]bool {
	all := maps.Clone(names)
	for name := range names {
		for _, companion := range l.spec.Table(name).Companions() {
			all[companion] = l.obj.Maps[companion] != nil
		}
	}
	return all
}

// prepareAll prepares new maps. If that fails they go: the next attempt would
// take them for prepared.
func (l *loader) prepareAll(names []string) (err error) {
	if l.prepare == nil {
		return nil
	}
	for _, name := range names {
		if err = l.prepare(name, l.obj.Maps[name], l.maps.Get(name)); err != nil {
			break
		}
	}
	for _, name := range names {
		if err != nil && !isSection(name) {
			l.maps.drop(name)
		}
	}
	return err
}

// tidy lets go of the maps that were created for programs that then failed.
func (l *loader) tidy(s *Set) {
	used := l.withCompanions(s.uses)
	for _, name := range l.fresh {
		if !isSection(name) && !used[name] {
			l.maps.drop(name)
		}
	}
}

// uses adds the names of the maps that a program uses.
func uses(prog *ebpf.ProgramSpec, names map[string]bool) {
	for _, ins := range prog.Instructions {
		if ins.IsLoadFromMap() {
			names[ins.Reference()] = true
		}
	}
}

// Fills reports whether a program of the hook could fill the map.
func Fills(hook collector.Hook, obj *ebpf.CollectionSpec, name string) bool {
	for _, w := range hook.Ways {
		for _, program := range w.Programs {
			names := make(map[string]bool)
			if prog := obj.Programs[program]; prog != nil {
				uses(prog, names)
			}
			if names[name] {
				return true
			}
		}
	}
	return false
}

// sized returns the tables whose size follows the machine's devices.
func sized(tables []collector.Table) map[string]bool {
	names := make(map[string]bool)
	for _, t := range tables {
		names[t.Map] = t.Size != nil
	}
	return names
}
