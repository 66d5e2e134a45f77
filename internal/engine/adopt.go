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

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// attachment is a program's connection to a place of the kernel, which ends
// when it is closed, unless it is pinned. A [link.Link] is one.
type attachment interface {
	io.Closer
	Pin(path string) error
}

// pinning is a collector's share of a directory of pins.
type pinning struct {
	in    *Pins
	taken io.Closer // keeps other processes away; nil if it could not
	dir   string    // of its pins; "" until its identity is known
	// unadopted is why what is pinned was not adopted; nil if it was.
	unadopted error
}

func newPinning(pins *Pins, collector string) *pinning {
	taken, err := pins.take(collector)
	return &pinning{in: pins, taken: taken, unadopted: err}
}

func (p *pinning) adopted() bool { return p != nil && p.dir != "" && p.unadopted == nil }

func (p *pinning) close() {
	if p != nil && p.taken != nil {
		p.taken.Close()
	}
}

// adopt takes over what an earlier process pinned of the object, and says
// whether it did. It does so with all or nothing.
func (u *unit) adopt(obj *ebpf.CollectionSpec) (bool, error) {
	if u.pins == nil || u.pins.taken == nil {
		return false, nil
	}
	name, err := identity(obj, sized(u.spec.Maps))
	if err != nil {
		return false, err
	}
	u.pins.dir = u.pins.in.of(u.spec.Name, name)
	if u.pins.unadopted = u.adoptFrom(u.pins.dir, obj); u.pins.unadopted != nil {
		u.release()
	}
	return u.pins.adopted(), nil
}

func (u *unit) adoptFrom(dir string, obj *ebpf.CollectionSpec) error {
	info, err := os.Stat(filepath.Join(dir, complete))
	if err != nil {
		return err
	}
	u.started = info.ModTime()
	u.coll = &ebpf.Collection{Programs: make(map[string]*ebpf.Program), Maps: make(map[string]*ebpf.Map)}
	asked := sized(u.spec.Maps)
	for name, spec := range obj.Maps {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, mapPin(name)), nil)
		if err != nil {
			return err
		}
		u.coll.Maps[name] = m
		// What is asked for has some room for what is plugged in later.
		if asked[name] && uint64(m.MaxEntries())*4 < uint64(spec.MaxEntries)*3 {
			return fmt.Errorf("map %s has room for %d rows, and this machine's devices need %d by now", name, m.MaxEntries(), spec.MaxEntries)
		}
	}
	for name, spec := range obj.Programs {
		prog, err := ebpf.LoadPinnedProgram(filepath.Join(dir, programPin(name)), nil)
		if err != nil {
			return err
		}
		u.coll.Programs[name] = prog
		a, err := adoptLink(spec, prog, filepath.Join(dir, linkPin(name)))
		if err != nil {
			return err
		}
		u.links[name] = a
	}
	return nil
}

func adoptLink(spec *ebpf.ProgramSpec, prog *ebpf.Program, path string) (attachment, error) {
	if spec.Type == ebpf.PerfEvent {
		return adoptEveryCPU(spec, prog, path)
	}
	return link.LoadPinnedLink(path, nil)
}

// Pin leaves the running collectors in the configured directory of pins, so
// that they go on counting after [Engine.Close], and removes from there what
// they did not adopt. A collector that cannot be pinned runs on without; that
// is logged.
func (e *Engine) Pin() error {
	for _, u := range e.units {
		if err := u.pin(e.logger.With("collector", u.spec.Name)); err != nil {
			return fmt.Errorf("%s: %w", u.spec.Name, err)
		}
	}
	return nil
}

func (u *unit) pin(logger *slog.Logger) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pins == nil || u.coll != nil && u.pins.adopted() {
		return nil
	}
	const consequence = "Not pinned: it counts only while kernscope runs"
	if u.pins.taken == nil {
		logger.Warn(consequence, "reason", u.pins.unadopted)
		return nil
	}
	found, err := u.pins.in.remove(u.spec.Name)
	if err != nil {
		return err
	}
	if found {
		logger.Info("Removed what was pinned", "reason", u.stale())
	}
	if u.coll == nil {
		return nil
	}
	if err := u.pinIn(u.pins.dir); err != nil {
		logger.Warn(consequence, "reason", err)
		_, err = u.pins.in.remove(u.spec.Name)
		return err
	}
	return nil
}

func (u *unit) pinIn(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
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
	for name, a := range u.links {
		if err := a.Pin(filepath.Join(dir, linkPin(name))); err != nil {
			return fmt.Errorf("attachment of %s: %w", name, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, complete), 0o700); err != nil {
		return err
	}
	return os.Chtimes(filepath.Join(dir, complete), u.started, u.started)
}

// stale says why what is pinned was not adopted.
func (u *unit) stale() string {
	switch {
	case u.coll == nil:
		return "the collector does not run"
	case errors.Is(u.pins.unadopted, fs.ErrNotExist):
		return "it was of another version, had other options, or was incomplete"
	}
	return u.pins.unadopted.Error()
}
