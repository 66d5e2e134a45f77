// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// Share is a collector's share of a directory of pins. A nil share pins
// nothing.
type Share struct {
	in        *Pins
	collector string
	taken     io.Closer // keeps other processes away; nil if it could not
	unadopted error     // why what is pinned was not adopted; nil if it was
}

// Share takes the share of a collector, until it is closed. Where another
// process has it, nothing is adopted and pinned; [Share.Pin] says why.
func (p *Pins) Share(collector string) *Share {
	if p == nil {
		return nil
	}
	taken, err := p.take(collector)
	return &Share{in: p, collector: collector, taken: taken, unadopted: err}
}

// Close lets other processes have the share.
func (s *Share) Close() {
	if s != nil && s.taken != nil {
		s.taken.Close()
	}
}

// Adopt takes over what an earlier process pinned for the same plan: all of it,
// or the maps alone where the programs' module has been loaded anew since. It
// returns nil if nothing is attached yet, and leaves maps alone that there are
// already.
func (s *Share) Adopt(p *Plan, m *Maps) *Set {
	if s == nil || s.taken == nil || !m.created.IsZero() {
		return nil
	}
	dir := s.in.of(s.collector, p.identity)
	if s.unadopted = adoptMaps(dir, p, m); s.unadopted != nil {
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
	if s.unadopted = set.adopt(p, dir); s.unadopted != nil {
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

// adoptMaps takes over the maps that are pinned in the directory.
func adoptMaps(dir string, p *Plan, m *Maps) error {
	info, err := os.Stat(filepath.Join(dir, complete))
	if err != nil {
		return err
	}
	follows := sized(p.cfg.Spec.Tables)
	for name, spec := range p.obj.Maps {
		one, err := ebpf.LoadPinnedMap(filepath.Join(dir, mapPin(name)), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no program in use had it
		}
		if err != nil {
			return err
		}
		m.byName[name] = one
		if one.Type() != spec.Type || one.KeySize() != spec.KeySize || one.ValueSize() != spec.ValueSize {
			return fmt.Errorf("map %s is not the collector's: it is %v", name, one)
		}
		if follows[name] && !roomy(one, spec) {
			return fmt.Errorf("map %s has room for %d rows, and this machine's devices need %d by now", name, one.MaxEntries(), spec.MaxEntries)
		}
	}
	for _, t := range p.cfg.Spec.Tables {
		for _, companion := range t.Companions() {
			if m.byName[t.Map] != nil && m.byName[companion] == nil {
				return fmt.Errorf("map %s is there without %s", t.Map, companion)
			}
		}
	}
	m.created, m.adopted = info.ModTime(), true
	return nil
}

// adopt takes over the programs and their attachments. For each hook these must
// be those of one of its ways.
func (s *Set) adopt(p *Plan, dir string) error {
	for _, c := range p.hooks {
		if c.reader != nil {
			continue
		}
		if err := c.pinned(p.obj, dir); err != nil {
			return fmt.Errorf("hook %s: %w", c.hook.Name, err)
		}
		if err := s.adoptPrograms(p.obj, dir, c.state.Programs); err != nil {
			return fmt.Errorf("hook %s: %w", c.hook.Name, err)
		}
	}
	return s.setVariables(p)
}

// pinned takes the way whose programs are pinned.
func (c *choice) pinned(obj *ebpf.CollectionSpec, dir string) error {
	for i, w := range c.hook.Ways {
		if len(w.Programs) == 0 || !arePinned(dir, w.Programs) {
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

func arePinned(dir string, programs []string) bool {
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(dir, programPin(name))); err != nil {
			return false
		}
	}
	return true
}

func (s *Set) adoptPrograms(obj *ebpf.CollectionSpec, dir string, programs []string) error {
	for _, name := range programs {
		prog, err := ebpf.LoadPinnedProgram(filepath.Join(dir, programPin(name)), nil)
		if err != nil {
			return err
		}
		s.programs[name] = prog
		if err := s.maps.areOf(prog, obj.Programs[name]); err != nil {
			return err
		}
		k, err := kindOf(obj.Programs[name])
		if err != nil {
			return err
		}
		a, err := k.adopt(obj.Programs[name], prog, filepath.Join(dir, linkPin(name)))
		if err != nil {
			return err
		}
		s.links[name] = a
	}
	return nil
}

// Detach removes the pins of attachments from the share. Their programs would
// count as well as those that are attached anew, to the same maps. These stay
// pinned.
func (s *Share) Detach() error {
	if s == nil || s.taken == nil {
		return nil
	}
	dir := filepath.Join(s.in.dir, s.collector)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a user may have removed all
		return fmt.Errorf("listing pins: %w", err)
	}
	for _, e := range entries {
		if !isIdentity(e) {
			continue
		}
		for _, pattern := range []string{modulePins, linkPin("*")} {
			pins, err := filepath.Glob(filepath.Join(dir, e.Name(), pattern))
			if err != nil {
				return fmt.Errorf("listing pins: %w", err)
			}
			for _, pin := range pins {
				if err := os.Remove(pin); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("removing a pin: %w", err)
				}
			}
		}
	}
	return nil
}

// ErrNotPinned means that a collector counts only while this process runs. What
// it wraps says why.
var ErrNotPinned = errors.New("not pinned")

// Pin leaves the set in the share, so that it goes on counting when it is
// closed, and removes what it did not adopt from there. It returns why that was
// removed, "" if no count was. A nil set means that the collector does not run.
func (s *Share) Pin(set *Set) (removed string, err error) {
	if s == nil || set != nil && set.pins.pinned {
		return "", nil
	}
	if s.taken == nil {
		return "", fmt.Errorf("%w: %w", ErrNotPinned, s.unadopted)
	}
	found, err := s.in.remove(s.collector)
	if err != nil {
		return "", err
	}
	if found {
		removed = s.stale(set)
	}
	if set == nil {
		return removed, nil
	}
	if err := set.pin(s.in.of(s.collector, set.pins.identity)); err != nil {
		if _, removing := s.in.remove(s.collector); removing != nil {
			return removed, removing
		}
		return removed, fmt.Errorf("%w: %w", ErrNotPinned, err)
	}
	set.pins.pinned, s.unadopted = true, nil
	return removed, nil
}

// stale says why what is pinned was not adopted; "" if its counts were.
func (s *Share) stale(set *Set) string {
	switch {
	case set == nil:
		return "the collector does not run"
	case s.unadopted == nil:
		return "" // the maps go on: only the programs were attached anew
	case errors.Is(s.unadopted, fs.ErrNotExist):
		return "it was of another version, had other options, or was incomplete"
	}
	return s.unadopted.Error()
}

// pin pins everything in a directory that it makes.
func (s *Set) pin(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, m := range s.maps.byName {
		// A duplicate does not know where the map was pinned before.
		duplicate, err := m.Clone()
		if err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
		err = duplicate.Pin(filepath.Join(dir, mapPin(name)))
		duplicate.Close()
		if err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
	}
	for name, prog := range s.programs {
		if err := prog.Pin(filepath.Join(dir, programPin(name))); err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
	}
	for name, a := range s.links {
		if err := a.Pin(filepath.Join(dir, linkPin(name))); err != nil {
			return fmt.Errorf("attachment of %s: %w", name, err)
		}
	}
	marks := []string{complete}
	if s.spec.Module != nil {
		marks = []string{modulePin(s.pins.load), complete}
	}
	for _, mark := range marks {
		if err := os.Mkdir(filepath.Join(dir, mark), 0o700); err != nil {
			return err
		}
	}
	return os.Chtimes(filepath.Join(dir, complete), s.maps.created, s.maps.created)
}
