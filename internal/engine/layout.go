// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/internal/metric"
)

// member is where a member of a C struct lies, from the object's type
// information.
type member struct {
	offset int
	size   int
	typ    btf.Type
}

// find resolves a dotted path of members in a type; "" is the type itself.
func find(typ btf.Type, path string) (member, error) {
	at := member{typ: btf.UnderlyingType(typ)}
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' }) {
		parent, ok := at.typ.(*btf.Struct)
		if !ok {
			return member{}, fmt.Errorf("%s in %q is not a member of a struct", name, path)
		}
		next := -1
		for i, m := range parent.Members {
			if m.Name == name {
				next = i
			}
		}
		if next < 0 {
			return member{}, fmt.Errorf("struct %s has no member %s", parent.Name, name)
		}
		at.offset += int(parent.Members[next].Offset.Bytes())
		at.typ = btf.UnderlyingType(parent.Members[next].Type)
	}
	size, err := btf.Sizeof(at.typ)
	if err != nil {
		return member{}, fmt.Errorf("sizing %q: %w", path, err)
	}
	at.size = size
	return at, nil
}

// words says how many counters (u64) a member is: 1, or the length of an array.
func (m member) words() (int, error) {
	elem, n := m.typ, 1
	if array, ok := m.typ.(*btf.Array); ok {
		elem, n = btf.UnderlyingType(array.Type), int(array.Nelems)
	}
	if i, ok := elem.(*btf.Int); !ok || i.Size != 8 || m.offset%8 != 0 {
		return 0, fmt.Errorf("%v is not made of 64-bit counters", m.typ)
	}
	return n, nil
}

// histogram checks that the member is the histogram of bpf/hist.bpf.h.
func (m member) histogram() error {
	slots, err := find(m.typ, "slots")
	if err != nil {
		return err
	}
	n, err := slots.words()
	if err != nil {
		return err
	}
	sum, err := find(m.typ, "sum")
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
