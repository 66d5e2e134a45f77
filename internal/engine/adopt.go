// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// attachment is a program's connection to a place of the kernel, which ends
// when it is closed, unless it is pinned. A [link.Link] is one.
type attachment interface {
	io.Closer
	// Pin pins it under the path. The error is [ebpf.ErrNotSupported] if this
	// kernel cannot.
	Pin(path string) error
}

// adopt takes over what an earlier process pinned. The error is
// [fs.ErrNotExist] if nothing complete of this identity is there; whatever it
// is, nothing is held.
func (u *unit) adopt(obj *ebpf.CollectionSpec, dir string) (err error) {
	if _, err := os.Stat(filepath.Join(dir, complete)); err != nil {
		return err
	}
	u.coll = &ebpf.Collection{Programs: make(map[string]*ebpf.Program), Maps: make(map[string]*ebpf.Map)}
	defer func() {
		if err != nil {
			u.release()
		}
	}()
	sized := sized(u.spec.Maps)
	for name, spec := range obj.Maps {
		path := filepath.Join(dir, mapPin(name))
		m, err := ebpf.LoadPinnedMap(path, nil)
		if err != nil {
			return err
		}
		u.coll.Maps[name] = m
		// A size asked for has some room for what is plugged in later.
		if sized[name] && uint64(m.MaxEntries())*4 < uint64(spec.MaxEntries)*3 {
			return fmt.Errorf("map %s has room for %d rows, and the machine's devices need %d by now", name, m.MaxEntries(), spec.MaxEntries)
		}
		if u.started, err = modified(path); err != nil {
			return err
		}
	}
	for name, spec := range obj.Programs {
		prog, err := ebpf.LoadPinnedProgram(filepath.Join(dir, programPin(name)), nil)
		if err != nil {
			return err
		}
		u.coll.Programs[name] = prog
		path := filepath.Join(dir, linkPin(name))
		if spec.Type == ebpf.PerfEvent {
			u.links[name], err = adoptEveryCPU(spec, prog, path)
		} else {
			u.links[name], err = link.LoadPinnedLink(path, nil)
		}
		if err != nil {
			delete(u.links, name)
			return err
		}
	}
	u.adopted = true
	return nil
}

// modified is when a file was last changed, which a pin is when it is made.
func modified(path string) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Pin leaves the running collectors in the configured directory of pins, so
// that they go on counting after [Engine.Close], and removes from there what
// they did not adopt. A collector that cannot be pinned runs on without; that
// is logged.
func (e *Engine) Pin() error {
	if e.pins == nil {
		return nil
	}
	unlock, err := e.pins.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, u := range e.units {
		if err := u.pin(e.pins, e.logger.With("collector", u.spec.Name)); err != nil {
			return fmt.Errorf("removing what %s has pinned: %w", u.spec.Name, err)
		}
	}
	return nil
}

func (u *unit) pin(pins *Pins, logger *slog.Logger) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.adopted {
		return nil
	}
	found, err := pins.remove(u.spec.Name)
	if err != nil {
		return err
	}
	if found {
		logger.Info("Removed what an earlier run had pinned", "reason", u.stale())
	}
	if u.coll == nil {
		return nil
	}
	if err := u.pinIn(pins.of(u.spec.Name, u.identity)); err != nil {
		logger.Warn("Cannot be pinned: it counts only while kernscope runs", "reason", err)
		_, err = pins.remove(u.spec.Name)
		return err
	}
	return nil
}

func (u *unit) pinIn(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, m := range u.coll.Maps {
		if err := m.Pin(filepath.Join(dir, mapPin(name))); err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
	}
	for name, p := range u.coll.Programs {
		if err := p.Pin(filepath.Join(dir, programPin(name))); err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
	}
	for name, l := range u.links {
		if err := l.Pin(filepath.Join(dir, linkPin(name))); err != nil {
			return fmt.Errorf("attachment of %s: %w", name, err)
		}
	}
	return os.Mkdir(filepath.Join(dir, complete), 0o700)
}

// stale says why what is pinned was not adopted.
func (u *unit) stale() string {
	switch {
	case u.coll == nil:
		return "the collector does not run"
	case errors.Is(u.unadopted, fs.ErrNotExist):
		return "it was of another version, had other options, or was incomplete"
	}
	return fmt.Sprint(u.unadopted)
}
