// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/internal/metric"
)

// Member is where a member of a C struct lies, from the object's type
// information.
type Member struct {
	offset int
	size   int
	typ    btf.Type
}

// Find resolves a dotted path of members in a type; "" is the type itself.
func Find(typ btf.Type, path string) (Member, error) {
	at := Member{typ: btf.UnderlyingType(typ)}
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' }) {
		parent, ok := at.typ.(*btf.Struct)
		if !ok {
			return Member{}, fmt.Errorf("%s in %q is not a member of a struct", name, path)
		}
		next := -1
		for i, m := range parent.Members {
			if m.Name == name {
				next = i
			}
		}
		if next < 0 {
			return Member{}, fmt.Errorf("struct %s has no member %s", parent.Name, name)
		}
		at.offset += int(parent.Members[next].Offset.Bytes())
		at.typ = btf.UnderlyingType(parent.Members[next].Type)
	}
	size, err := btf.Sizeof(at.typ)
	if err != nil {
		return Member{}, fmt.Errorf("sizing %q: %w", path, err)
	}
	at.size = size
	return at, nil
}

// First returns which word of the value the member begins with.
func (m Member) First() int { return m.offset / 8 }

// Offset returns where the member begins, in bytes.
func (m Member) Offset() int { return m.offset }

// Words returns how many counters (u64) the member is: 1, or the length of an
// array.
func (m Member) Words() (int, error) {
	elem, n := m.typ, 1
	if array, ok := m.typ.(*btf.Array); ok {
		elem, n = btf.UnderlyingType(array.Type), int(array.Nelems)
	}
	if i, ok := elem.(*btf.Int); !ok || i.Size != 8 || m.offset%8 != 0 {
		return 0, fmt.Errorf("%v is not made of 64-bit counters", m.typ)
	}
	return n, nil
}

// Histogram fails unless the member is the histogram of bpf/hist.bpf.h.
func (m Member) Histogram() error {
	slots, err := Find(m.typ, "slots")
	if err != nil {
		return err
	}
	n, err := slots.Words()
	if err != nil {
		return err
	}
	sum, err := Find(m.typ, "sum")
	if err != nil {
		return err
	}
	if n != metric.HistSlots || slots.offset != 0 || sum.offset != 8*n {
		return fmt.Errorf("%v is not the histogram of %d slots and a sum", m.typ, metric.HistSlots)
	}
	return nil
}

// enumNames names an enum's values for people: the enumerators in lower case,
// without the words that all of them start with.
func enumNames(enum *btf.Enum) map[uint64]string {
	shared := len(enum.Values[0].Name)
	for _, v := range enum.Values {
		n := 0
		for n < min(shared, len(v.Name)) && v.Name[n] == enum.Values[0].Name[n] {
			n++
		}
		shared = n
	}
	if len(enum.Values) == 1 {
		shared = 0
	}
	shared = strings.LastIndexByte(enum.Values[0].Name[:shared], '_') + 1
	names := make(map[uint64]string, len(enum.Values))
	for _, v := range enum.Values {
		names[v.Value] = strings.ToLower(v.Name[shared:])
	}
	return names
}
