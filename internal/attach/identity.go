// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
)

const identityBytes = sha256.Size

// identify returns a hash of all that decides what a collector counts and how: its
// hooks, programs, types, variables and tables, ready to be loaded. What was
// loaded with the same identity since the machine booted may stand in for it.
// Which way a hook took is no part of it: that depends on the machine.
//
// Left out is what differs from start to start and may: the time of the load,
// the size of tables that follows the machine's devices, and the variables of
// options that can be set while programs run. Who adopts sets these.
func (p *Plan) identify() (string, error) {
	h := sha256.New()
	if p.obj.Types != nil {
		// Instructions refer to members of types by position.
		types, err := marshal(p.obj.Types)
		if err != nil {
			return "", fmt.Errorf("writing the object's types: %w", err)
		}
		h.Write(types)
	}
	for _, c := range p.hooks {
		fmt.Fprintln(h, "hook", c.hook.Name)
		for _, w := range c.hook.Ways {
			for _, name := range w.Programs {
				writeProgram(h, name, p.obj.Programs[name])
			}
		}
	}
	facts := make(map[string]collector.Fact)
	for _, v := range collector.CommonVariables() {
		facts[v.Name] = v.Fact
	}
	for _, v := range p.cfg.Spec.Variables {
		facts[v.Name] = v.Fact
	}
	settable := optionVariables(p)
	for _, name := range slices.Sorted(maps.Keys(p.obj.Variables)) {
		if v := p.obj.Variables[name]; facts[name] != collector.LoadTime && !slices.Contains(settable, name) {
			fmt.Fprintln(h, "variable", name, v.SectionName, v.Offset, v.Value)
		}
	}
	follows := sized(p.cfg.Spec.Tables)
	for _, name := range slices.Sorted(maps.Keys(p.obj.Maps)) {
		m := p.obj.Maps[name]
		rows := m.MaxEntries
		if follows[name] {
			rows = 0
		}
		fmt.Fprintln(h, "map", name, m.Type, m.KeySize, m.ValueSize, rows, m.Flags)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func writeProgram(h io.Writer, name string, p *ebpf.ProgramSpec) {
	fmt.Fprintln(h, "program", name, p.SectionName, p.Type, p.AttachType, p.AttachTo, p.Flags, p.License)
	for i := range p.Instructions {
		in := &p.Instructions[i]
		fmt.Fprintln(h, uint64(in.OpCode), in.Dst, in.Src, in.Offset, in.Constant,
			in.Symbol(), in.Reference(), btf.CORERelocationMetadata(in))
	}
}

func marshal(spec *btf.Spec) ([]byte, error) {
	var types []btf.Type
	for t, err := range spec.All() {
		if err != nil {
			return nil, err
		}
		types = append(types, t)
	}
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		return nil, err
	}
	return b.Marshal(nil, nil)
}
