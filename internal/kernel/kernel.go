// SPDX-License-Identifier: Apache-2.0

// Package kernel answers what the running kernel can do. It is the only place
// that asks. Every answer has three values, a reason in words, and where there
// is one, a remedy; only conclusive answers are cached.
package kernel

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Answer is what is known of a feature.
type Answer int

// The three answers.
const (
	Unknown Answer = iota
	No
	Yes
)

// Finding is an answer with its grounds.
type Finding struct {
	Answer Answer
	// Reason says why the answer is not Yes.
	Reason string
	// Remedy says what the user can do about it; "" if nothing.
	Remedy string
	// Passing reports that the answer may be another later, without a restart
	// of the machine: a switch of the kernel's, a permission, a module that is
	// not loaded. A question about a module is another one after each load.
	Passing bool
	// Denied reports that the kernel could, but does not permit it to this
	// process.
	Denied bool
}

func yes() Finding { return Finding{Answer: Yes} }

func no(reason, remedy string) Finding {
	return Finding{Answer: No, Reason: reason, Remedy: remedy}
}

// unknown returns an inconclusive finding, with the error as the reason.
func unknown(err error) Finding { return Finding{Reason: err.Error()} }

// passing returns the finding as one that may change.
func (f Finding) passing() Finding {
	f.Passing = true
	return f
}

// denied returns the finding as one that another process might not get.
func (f Finding) denied() Finding {
	f.Passing, f.Denied = true, true
	return f
}

// Machine is the running kernel.
type Machine struct {
	cache    *btf.Cache
	external *btf.Spec
	files    files

	mu      sync.Mutex
	known   map[string]*load // by module
	builtIn map[string]bool  // modules compiled into the kernel; nil if not yet read
}

// load is what is known of the kernel, or of a module for as long as it is
// loaded.
type load struct {
	identity uint64
	findings map[string]Finding
	types    *btf.Spec          // of a module; nil if not yet decoded
	symbols  map[string]*symbol // of a module, by name; nil if not yet read
}

// Open prepares questions to the running kernel. btfFile is a file with the
// kernel's type information (BTF, raw or in an ELF file) for kernels that do
// not publish their own; "" is the kernel's own. A btfFile that cannot be read
// is an error; a kernel without type information is not, it is an answer.
func Open(btfFile string) (*Machine, error) {
	m := &Machine{cache: btf.NewCache(), known: make(map[string]*load)}
	if btfFile != "" {
		spec, err := loadTypes(btfFile)
		if err != nil {
			return nil, fmt.Errorf("reading type information from %s: %w", btfFile, err)
		}
		m.external = spec
	}
	return m, nil
}

// mostTypes is how large a file of type information may be. That of a kernel has
// some megabytes; a kernel with all that debuggers use has some hundred.
const mostTypes = 1 << 30

// loadTypes reads a file of type information. It does not wait for a pipe or a
// device, which have no end.
func loadTypes(path string) (*btf.Spec, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	about, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !about.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case about.Size() > mostTypes:
		return nil, fmt.Errorf("it has %d bytes: type information has less than %d", about.Size(), mostTypes)
	}
	return btf.LoadSpecFromReader(file)
}

// Enumerator says whether the kernel has the enumerator in the named enum.
func (m *Machine) Enumerator(enum, name string) Finding {
	return m.once("enumerator "+name, func() Finding {
		spec, err := m.Spec()
		if err != nil {
			return unknown(err)
		}
		var e *btf.Enum
		err = spec.TypeByName(enum, &e)
		if err != nil && !errors.Is(err, btf.ErrNotFound) {
			return unknown(err)
		}
		if err == nil && slices.ContainsFunc(e.Values, func(v btf.EnumValue) bool { return v.Name == name }) {
			return yes()
		}
		return no("this kernel has no "+name, "")
	})
}

// MapType says whether the kernel has the type of map.
func (m *Machine) MapType(t ebpf.MapType) Finding {
	return m.once("map type "+t.String(), func() Finding {
		var err error
		if t == ebpf.TaskStorage {
			err = createTaskStorage()
		} else {
			err = features.HaveMapType(t)
		}
		switch {
		case err == nil:
			return yes()
		case errors.Is(err, ebpf.ErrNotSupported):
			return no(fmt.Sprintf("this kernel has no map of type %s", t), "")
		}
		return unknown(err)
	})
}

// once answers from what is known of the kernel, and remembers an answer that
// holds.
func (m *Machine) once(question string, ask func() Finding) Finding {
	return m.onceFor(Module{}, question, ask)
}

// onceFor answers from what is known of this load of the module.
func (m *Machine) onceFor(module Module, question string, ask func() Finding) Finding {
	m.mu.Lock()
	f, ok := m.knownOf(module).findings[question]
	m.mu.Unlock()
	if ok {
		return f
	}
	f = ask()
	if f.Answer != Unknown && !f.Passing {
		m.mu.Lock()
		m.knownOf(module).findings[question] = f
		m.mu.Unlock()
	}
	return f
}

// knownOf returns what is known of this load of the module, and forgets an
// earlier one. The caller holds the lock.
func (m *Machine) knownOf(module Module) *load {
	if module.BuiltIn {
		module = Module{} // its functions and types are the kernel's
	}
	l := m.known[module.Name]
	if l == nil || l.identity != module.Identity {
		l = &load{identity: module.Identity, findings: make(map[string]Finding)}
		m.known[module.Name] = l
	}
	return l
}
