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
}

func yes() Finding { return Finding{Answer: Yes} }

func no(reason, remedy string) Finding {
	return Finding{Answer: No, Reason: reason, Remedy: remedy}
}

// ownTypes is where the kernel publishes its own type information
// (341dfcf8d78e "btf: expose BTF info through sysfs", since Linux 5.4).
const ownTypes = "/sys/kernel/btf/vmlinux"

// Machine is the running kernel.
type Machine struct {
	cache    *btf.Cache
	external *btf.Spec

	mu    sync.Mutex
	known map[string]Finding
}

// Open prepares questions to the running kernel. btfFile is a file with the
// kernel's type information (BTF, raw or in an ELF file) for kernels that do
// not publish their own; "" is the kernel's own. A btfFile that cannot be read
// is an error; a kernel without type information is not, it is an answer.
func Open(btfFile string) (*Machine, error) {
	m := &Machine{cache: btf.NewCache(), known: make(map[string]Finding)}
	if btfFile != "" {
		spec, err := btf.LoadSpec(btfFile)
		if err != nil {
			return nil, fmt.Errorf("reading type information from %s: %w", btfFile, err)
		}
		m.external = spec
	}
	return m, nil
}

// External is the type information given by file, nil if there is none.
func (m *Machine) External() *btf.Spec { return m.external }

// Cache is the decoded type information of the kernel, for loading programs.
func (m *Machine) Cache() *btf.Cache { return m.cache }

// Release frees the decoded type information. It is decoded again when needed.
func (m *Machine) Release() { m.cache = btf.NewCache() }

// Types says whether there is type information at all, the kernel's own or an
// external file's. No program can be adapted to the kernel without.
func (m *Machine) Types() Finding {
	if m.external != nil {
		return yes()
	}
	return m.OwnTypes()
}

// OwnTypes says whether the kernel publishes its type information, which
// tp_btf and fentry programs need whatever file is given.
func (m *Machine) OwnTypes() Finding {
	return m.once("own types", func() Finding {
		if _, err := os.Stat(ownTypes); err != nil {
			return no("the kernel publishes no type information (BTF) at "+ownTypes,
				"run a kernel built with CONFIG_DEBUG_INFO_BTF=y, or give its BTF with --btf=FILE")
		}
		if m.external != nil {
			return yes() // what is published need not be parsed
		}
		if _, err := m.cache.Kernel(); err != nil {
			return no(fmt.Sprintf("the kernel's type information (BTF) is unusable: %v", err),
				"give the kernel's BTF with --btf=FILE")
		}
		return yes()
	})
}

// Spec is the type information that programs are adapted to.
func (m *Machine) Spec() (*btf.Spec, error) {
	if m.external != nil {
		return m.external, nil
	}
	if f := m.OwnTypes(); f.Answer != Yes {
		return nil, errors.New(f.Reason)
	}
	return m.cache.Kernel()
}

// Enumerator says whether the kernel has the enumerator in the named enum.
func (m *Machine) Enumerator(enum, name string) Finding {
	return m.once("enumerator "+name, func() Finding {
		spec, err := m.Spec()
		if err != nil {
			return Finding{Reason: err.Error()}
		}
		var e *btf.Enum
		err = spec.TypeByName(enum, &e)
		if err != nil && !errors.Is(err, btf.ErrNotFound) {
			return Finding{Reason: err.Error()}
		}
		if err == nil && slices.ContainsFunc(e.Values, func(v btf.EnumValue) bool { return v.Name == name }) {
			return yes()
		}
		return no("this kernel has no "+name, "")
	})
}

// Tracepoint says whether the kernel has the tracepoint: every tracepoint has
// a typedef of its prototype, named btf_trace_<tracepoint>.
func (m *Machine) Tracepoint(name string) Finding {
	return m.once("tracepoint "+name, func() Finding {
		spec, err := m.Spec()
		if err != nil {
			return Finding{Reason: err.Error()}
		}
		var proto *btf.Typedef
		err = spec.TypeByName("btf_trace_"+name, &proto)
		if errors.Is(err, btf.ErrNotFound) {
			return no("this kernel has no tracepoint "+name, "")
		}
		if err != nil {
			return Finding{Reason: err.Error()}
		}
		return yes()
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
		return Finding{Reason: err.Error()}
	})
}

// Program says whether the program can be attached and all that it uses is
// there; maps are those of its object, by name.
func (m *Machine) Program(p *ebpf.ProgramSpec, maps map[string]*ebpf.MapSpec) Finding {
	switch {
	case p.Type == ebpf.Tracing && p.AttachType == ebpf.AttachTraceRawTp:
		if f := m.OwnTypes(); f.Answer != Yes {
			return f
		}
		if f := m.Tracepoint(p.AttachTo); f.Answer == No {
			return f
		}
	case p.Type == ebpf.Tracing && (p.AttachType == ebpf.AttachTraceFEntry || p.AttachType == ebpf.AttachTraceFExit):
		if f := m.Trampoline(p.AttachTo); f.Answer == No {
			return f
		}
	case p.Type == ebpf.RawTracepoint:
		if f := m.Tracepoint(p.AttachTo); f.Answer == No {
			return f
		}
	case p.Type == ebpf.PerfEvent:
		if f := m.PerfEvents(); f.Answer == No {
			return f
		}
	case p.Type == ebpf.Kprobe:
		if f := m.Kprobe(p.AttachTo); f.Answer == No {
			return f
		}
	}
	for _, ins := range p.Instructions {
		if !ins.IsLoadFromMap() {
			continue
		}
		spec := maps[ins.Reference()]
		if spec == nil {
			continue // a section of variables, which is an array
		}
		if f := m.MapType(spec.Type); f.Answer == No {
			return f
		}
		if spec.Type == ebpf.TaskStorage && holdsLock(p.AttachTo) {
			if f := m.StorageUnderLock(); f.Answer != Yes {
				return f
			}
		}
	}
	return yes()
}

// once answers from what is known, and remembers conclusive answers.
func (m *Machine) once(question string, ask func() Finding) Finding {
	m.mu.Lock()
	f, ok := m.known[question]
	m.mu.Unlock()
	if ok {
		return f
	}
	f = ask()
	if f.Answer != Unknown {
		m.mu.Lock()
		m.known[question] = f
		m.mu.Unlock()
	}
	return f
}
