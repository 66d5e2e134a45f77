// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/table"
)

// losses are the reasons for which events are lost, as an object counts them.
type losses struct {
	section *ebpf.Map // the variables the counters are among
	reasons []loss
}

// loss is one reason.
type loss struct {
	offset int // of the counter in the section
	name   string
}

// findLosses lists the members of the object's variable of losses, a struct of
// counters, one for each reason to lose an event; nil if there is none.
func findLosses(obj *ebpf.CollectionSpec, maps *attach.Maps) (*losses, error) {
	v := obj.Variables[collector.LossesVariable]
	if v == nil {
		return nil, nil
	}
	reasons, ok := btf.UnderlyingType(v.Type.Type).(*btf.Struct)
	if !ok {
		return nil, errors.New("the variable of losses is no struct")
	}
	l := &losses{section: maps.Get(v.SectionName)}
	if l.section == nil {
		return nil, nil // no program is in use
	}
	for _, m := range reasons.Members {
		at, err := table.Find(reasons, m.Name)
		if err != nil {
			return nil, err
		}
		if n, err := at.Words(); err != nil || n != 1 {
			return nil, fmt.Errorf("%s.%s is no counter", v.Name, m.Name)
		}
		l.reasons = append(l.reasons, loss{offset: int(v.Offset) + at.Offset(), name: m.Name})
	}
	return l, nil
}

// lost is what was lost for a reason.
type lost struct {
	name string
	lost uint64
}

// read returns what was lost, by reason.
func (l *losses) read() ([]lost, error) {
	if l == nil {
		return nil, nil
	}
	section, err := l.section.LookupBytes(uint32(0))
	if err != nil {
		return nil, fmt.Errorf("reading the losses: %w", err)
	}
	list := make([]lost, len(l.reasons))
	for i, r := range l.reasons {
		list[i] = lost{r.name, binary.NativeEndian.Uint64(section[r.offset:])}
	}
	return list, nil
}
