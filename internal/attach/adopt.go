// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Adopt takes over what an earlier process pinned for the same plan: all of it,
// or the maps alone where the programs' module has been loaded anew since. It
// returns nil if nothing is attached yet, and leaves maps alone that there are
// already.
func (s *Share) Adopt(p *Plan, m *Maps) *Set {
	if s == nil || s.taken == nil || m.created != 0 {
		return nil
	}
	dir := s.in.of(s.collector, p.identity)
	pinned, err := adoptMaps(dir, p, m)
	if s.unadopted = err; err != nil {
		m.Close()
		return nil
	}
	set := p.newSet(m)
	set.pins.adopted, set.pins.pinned = true, true
	if p.cfg.Spec.Module != nil {
		if _, err := os.Stat(filepath.Join(dir, modulePin(set.pins.load))); err != nil {
			if s.unadopted = s.Detach(); s.unadopted != nil {
				m.Close()
			}
			return nil
		}
	}
	chosen := make([]choice, len(p.hooks))
	for i, c := range p.hooks {
		chosen[i] = *c
	}
	if s.unadopted = set.adopt(p, dir, pinned); s.unadopted != nil {
		set.Close()
		m.Close()
		for i, c := range p.hooks {
			*c = chosen[i] // what is pinned decides nothing
		}
		return nil
	}
	set.note(p)
	set.Hooks, set.Absent = p.States()
	set.takeReaders(p)
	return set
}

// adoptMaps takes over the maps that are pinned in the directory, and returns
// the list of everything that is.
func adoptMaps(dir string, p *Plan, m *Maps) (objects, error) {
	info, err := os.Stat(filepath.Join(dir, complete))
	if err != nil {
		return nil, err
	}
	pinned, err := readObjects(dir)
	if err != nil {
		return nil, err
	}
	follows := sized(p.cfg.Spec.Tables)
	for name, spec := range p.obj.Maps {
		if _, ok := pinned[mapPin(name)]; !ok {
			continue // no program in use had it
		}
		if m.byName[name], err = pinned.adoptMap(dir, name); err != nil {
			return nil, err
		}
		if one := m.byName[name]; follows[name] && !roomy(one, spec) {
			return nil, fmt.Errorf("map %s has room for %d rows, and this machine's devices need %d by now", name, one.MaxEntries(), spec.MaxEntries)
		}
	}
	m.created, m.adopted = info.ModTime().Sub(time.Unix(0, 0)), true
	return pinned, nil
}

// adoptMap takes over a listed map. One that somebody froze does not do: rows
// cannot be moved in it, nor variables set.
func (o objects) adoptMap(dir, name string) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, mapPin(name)), nil)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	info, err := m.Info()
	if err == nil && info.Frozen() && !isConstant(name) {
		err = fmt.Errorf("map %s is frozen", name)
	}
	if err == nil {
		id, _ := info.ID()
		err = o.check(mapPin(name), uint32(id))
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// adopt takes over the listed programs and their attachments. For each hook
// these must be those of one of its ways.
func (s *Set) adopt(p *Plan, dir string, pinned objects) error {
	for _, c := range p.hooks {
		if c.reader != nil {
			continue
		}
		if err := c.pinned(p.obj, pinned); err != nil {
			return fmt.Errorf("hook %s: %w", c.hook.Name, err)
		}
		if err := s.adoptPrograms(p.obj, dir, pinned, c.state.Programs); err != nil {
			return fmt.Errorf("hook %s: %w", c.hook.Name, err)
		}
	}
	return s.setVariables(p)
}

// pinned takes the way whose programs are listed.
func (c *choice) pinned(obj *ebpf.CollectionSpec, pinned objects) error {
	for i, w := range c.hook.Ways {
		if len(w.Programs) == 0 || !pinned.have(w.Programs) {
			continue
		}
		for ; c.way < i; c.way++ {
			passed := way{c.hook.Ways[c.way]}
			r := Rejection{Attach: passed.at(obj), Reason: "it failed when an earlier process attached the collector"}
			if passed.Source == nil {
				r.Program = passed.Programs[0]
			}
			c.reject(r, "")
		}
		c.way = i
		c.take(way{w}, obj)
		return nil
	}
	if c.hook.Optional {
		c.state.Programs, c.state.Attach, c.state.Without = nil, "", c.hook.Without
		return nil
	}
	return fs.ErrNotExist
}

func (s *Set) adoptPrograms(obj *ebpf.CollectionSpec, dir string, pinned objects, programs []string) error {
	for _, name := range programs {
		prog, err := ebpf.LoadPinnedProgram(filepath.Join(dir, programPin(name)), nil)
		if err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
		s.programs[name] = prog
		id, err := programID(prog)
		if err != nil {
			return err
		}
		if err := pinned.check(programPin(name), id); err != nil {
			return err
		}
		k, err := kindOf(obj.Programs[name])
		if err != nil {
			return err
		}
		a, err := k.adopt(obj.Programs[name], prog, filepath.Join(dir, linkPin(name)))
		if err != nil {
			return fmt.Errorf("attachment of %s: %w", name, err)
		}
		s.links[name] = a
		l, ok := a.(link.Link)
		if !ok {
			continue // events of perf, which are not listed
		}
		info, err := l.Info()
		if err != nil {
			return fmt.Errorf("looking at a link: %w", err)
		}
		if err := pinned.check(linkPin(name), uint32(info.ID)); err != nil {
			return err
		}
	}
	return nil
}
