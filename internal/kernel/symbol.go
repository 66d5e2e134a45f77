// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
)

// symbol is what the kernel's list of symbols says of the functions of one name.
type symbol struct {
	here     int      // how many the module has
	variants []string // what the compiler made of it besides, or instead
	others   []string // who has one too: a module, or "" for the kernel
}

// functionOf says whether a loaded module has the function, and the name stands
// for nothing else: the kernel attaches by name, and would take whichever it
// finds first.
func (m *Machine) functionOf(module Module, name string) Finding {
	symbols, err := m.symbolsOf(module)
	if err != nil {
		return unknown(err)
	}
	s := symbols[name]
	switch {
	case s == nil:
		return no(module.owner()+" has no function "+name, "")
	case s.here == 0:
		return no(fmt.Sprintf("module %s has no function %s: the compiler left %s", module.Name, name, strings.Join(s.variants, ", ")), "")
	case len(s.variants) > 0:
		return no(fmt.Sprintf("some calls of %s in module %s go to what the compiler made of it: %s", name, module.Name, strings.Join(s.variants, ", ")), "")
	case s.here > 1:
		return no(fmt.Sprintf("module %s has %d functions %s", module.Name, s.here, name), "")
	case len(s.others) > 0:
		// Others may be unloaded.
		return no(fmt.Sprintf("%s has a function %s too, as module %s has", Module{Name: s.others[0]}.owner(), name, module.Name), "").passing()
	}
	return yes()
}

// symbolsOf returns the functions of a loaded module, by name.
func (m *Machine) symbolsOf(module Module) (map[string]*symbol, error) {
	m.mu.Lock()
	symbols := m.knownOf(module).symbols
	m.mu.Unlock()
	if symbols != nil {
		return symbols, nil
	}
	// The names are there for everybody; only addresses are not
	// (kernel.kptr_restrict).
	file, err := os.Open(m.files.path("/proc/kallsyms"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if symbols, err = readSymbols(file, module.Name); err != nil {
		return nil, fmt.Errorf("reading /proc/kallsyms: %w", err)
	}
	m.mu.Lock()
	m.knownOf(module).symbols = symbols
	m.mu.Unlock()
	return symbols, nil
}

// readSymbols returns the functions of a module from a list of the kernel's
// symbols, by name. The list is slow to make, so it is read once; as most of it is
// the kernel's own, and comes first, only hashes are kept of the other names.
func readSymbols(list io.Reader, module string) (map[string]*symbol, error) {
	symbols := make(map[string]*symbol)
	of := func(name []byte) *symbol {
		s := symbols[string(name)]
		if s == nil {
			s = new(symbol)
			symbols[string(name)] = s
		}
		return s
	}
	seed := maphash.MakeSeed()
	var others []uint64 // hashes of names, owner by owner
	var owners []string // "" for the kernel
	var ends []int      // in others, by owner
	err := eachFunction(list, func(name, owner []byte) {
		if string(owner) != module {
			if len(owners) == 0 || owners[len(owners)-1] != string(owner) {
				owners, ends = append(owners, string(owner)), append(ends, 0)
			}
			others = append(others, maphash.Bytes(seed, name))
			ends[len(ends)-1] = len(others)
			return
		}
		base, suffix, made := bytes.Cut(name, []byte{'.'})
		switch {
		case !made:
			of(name).here++
		case bytes.HasPrefix(suffix, []byte("cold")):
			// A part of the function that is jumped to, not called.
		default:
			s := of(base)
			s.variants = append(s.variants, string(name))
		}
	})
	hashes := make(map[uint64]*symbol, len(symbols))
	for name, s := range symbols {
		hashes[maphash.String(seed, name)] = s
	}
	begin := 0
	for i, end := range ends {
		for _, hash := range others[begin:end] {
			if s := hashes[hash]; s != nil {
				s.others = append(s.others, owners[i])
			}
		}
		begin = end
	}
	return symbols, err
}

// eachFunction calls yield for each function in a list of the kernel's symbols,
// with its name and the module that has it, "" for the kernel. Lines are as
// nm(1) writes them: address, kind, name and then, after a tab, [module].
func eachFunction(list io.Reader, yield func(name, owner []byte)) error {
	lines := bufio.NewReaderSize(list, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, rest, _ := bytes.Cut(line, []byte{' '})
		kind, rest, _ := bytes.Cut(rest, []byte{' '})
		if len(kind) != 1 || !bytes.ContainsAny(kind, "tTwW") {
			continue
		}
		name, owner, _ := bytes.Cut(bytes.TrimSuffix(rest, []byte{'\n'}), []byte{'\t'})
		yield(name, bytes.Trim(owner, "[]"))
	}
}
