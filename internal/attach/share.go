// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
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

// Unpin takes back what [Share.Pin] did. Counts of an earlier process stay pinned.
func (s *Share) Unpin(set *Set) error {
	if set == nil || !set.pins.pinned || set.maps.adopted {
		return nil
	}
	set.pins.pinned = false
	_, err := s.in.Remove(s.collector)
	return err
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
	pinned, err := s.listed()
	if err != nil {
		return err
	}
	if err := pinned.write(dir); err != nil {
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
	began := time.Unix(0, int64(s.maps.created))
	return os.Chtimes(filepath.Join(dir, complete), began, began)
}
