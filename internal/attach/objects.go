// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// objects are the kernel's ids of what a collector has pinned, by the names of
// the pins. The kernel gives no two objects the same id until it boots, which
// ends the pins as well. So an object of a listed id is the one that was pinned,
// and not another that somebody put in its place.
type objects map[string]uint32

// list is the name of the directory that lists objects. A BPF file system has no
// files for a text, so each is a directory of its own: ID-PIN.
const list = "objects"

// listed returns the objects that the set would pin. Events of perf are left
// out: they come and go with their CPUs, and [adoptEveryCPU] knows them by their
// program.
func (s *Set) listed() (objects, error) {
	o := make(objects)
	for name, m := range s.maps.byName {
		id, err := mapID(m)
		if err != nil {
			return nil, err
		}
		o[mapPin(name)] = id
	}
	for name, prog := range s.programs {
		id, err := programID(prog)
		if err != nil {
			return nil, err
		}
		o[programPin(name)] = id
	}
	for name, a := range s.links {
		l, ok := a.(link.Link)
		if !ok {
			continue
		}
		info, err := l.Info()
		if err != nil {
			return nil, fmt.Errorf("looking at a link: %w", err)
		}
		o[linkPin(name)] = uint32(info.ID)
	}
	return o, nil
}

// mapID returns the kernel's id of a map.
func mapID(m *ebpf.Map) (uint32, error) {
	info, err := m.Info()
	if err != nil {
		return 0, fmt.Errorf("looking at a map: %w", err)
	}
	id, _ := info.ID()
	return uint32(id), nil
}

// programID returns the kernel's id of a program.
func programID(p *ebpf.Program) (uint32, error) {
	info, err := p.Info()
	if err != nil {
		return 0, fmt.Errorf("looking at a program: %w", err)
	}
	id, _ := info.ID()
	return uint32(id), nil
}

// write writes the list into a directory of pins.
func (o objects) write(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, list), 0o700); err != nil {
		return err
	}
	for _, pin := range slices.Sorted(maps.Keys(o)) {
		if err := os.Mkdir(filepath.Join(dir, list, fmt.Sprintf("%d-%s", o[pin], pin)), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// readObjects reads the list of a directory of pins.
func readObjects(dir string) (objects, error) {
	entries, err := os.ReadDir(filepath.Join(dir, list))
	if err != nil {
		return nil, err
	}
	o := make(objects)
	for _, e := range entries {
		number, pin, _ := strings.Cut(e.Name(), "-")
		id, err := strconv.ParseUint(number, 10, 32)
		if _, twice := o[pin]; err != nil || twice {
			return nil, fmt.Errorf("%s in the list of pinned objects is not kernscope's", e.Name())
		}
		o[pin] = uint32(id)
	}
	return o, nil
}

// check fails unless the object that was found under a pin is the listed one.
func (o objects) check(pin string, id uint32) error {
	if listed, ok := o[pin]; !ok || listed != id {
		return fmt.Errorf("%s is not what kernscope pinned there", pin)
	}
	return nil
}

// have reports whether the programs are listed.
func (o objects) have(programs []string) bool {
	return !slices.ContainsFunc(programs, func(name string) bool {
		_, ok := o[programPin(name)]
		return !ok
	})
}
