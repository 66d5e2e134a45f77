// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// labelDecoder turns a row's key into the value of one label.
type labelDecoder struct {
	fixed  string
	member Member
	decode label.Decoder
	enum   map[uint64]string
	// owners name the member if it is the row's owner, in the label of name.
	owners label.Owners
	name   string
}

func newLabelDecoder(l collector.Label, key btf.Type, spec *collector.Owners, owners label.Owners) (d labelDecoder, err error) {
	if l.Fixed != "" {
		return labelDecoder{fixed: l.Fixed}, nil
	}
	if d.member, err = Find(key, l.Field); err != nil {
		return d, err
	}
	if l.As != nil {
		d.decode = l.As()
		return d, nil
	}
	if spec != nil && l.Field == spec.Field {
		d.owners, d.name = owners, l.Name
		return d, nil
	}
	enum, ok := d.member.typ.(*btf.Enum)
	if !ok || d.member.size != 4 {
		return d, fmt.Errorf("%q has no decoder and is no 32-bit enum", l.Field)
	}
	d.enum = enumNames(enum)
	return d, nil
}

// value returns the label's value for a place. It reads "other" in an overflow
// row, and "gone" where what it names was given up.
func (d *labelDecoder) value(p place) string {
	raw := p.key[d.member.offset:][:d.member.size]
	switch {
	case d.fixed != "":
		return d.fixed
	case d.enum != nil:
		number := uint64(binary.NativeEndian.Uint32([]byte(raw)))
		if name, ok := d.enum[number]; ok {
			return name
		}
		return fmt.Sprint(number)
	case p.kind == other:
		return label.Other
	case p.kind == idle, p.kind == ownerless && d.owners != nil:
		return label.Gone
	case d.owners != nil:
		return d.owners.Label(d.name, raw)
	}
	return d.decode.Label([]byte(raw))
}
