// SPDX-License-Identifier: Apache-2.0

package table

import (
	"maps"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

var u64 = &btf.Int{Name: "unsigned long long", Size: 8}

func structOf(name string, members ...btf.Member) *btf.Struct {
	var size uint32
	for i := range members {
		members[i].Offset = btf.Bits(size * 8)
		n, _ := btf.Sizeof(members[i].Type)
		size += uint32(n)
	}
	return &btf.Struct{Name: name, Size: size, Members: members}
}

func TestFind(t *testing.T) {
	inner := structOf("inner", btf.Member{Name: "a", Type: u64}, btf.Member{Name: "b", Type: &btf.Typedef{Name: "t", Type: u64}})
	outer := structOf("outer",
		btf.Member{Name: "n", Type: u64},
		btf.Member{Name: "in", Type: &btf.Const{Type: inner}},
		btf.Member{Name: "list", Type: &btf.Array{Type: u64, Nelems: 5}})
	for _, tc := range []struct {
		path                string
		offset, size, words int
	}{
		{"n", 0, 8, 1}, {"in.b", 16, 8, 1}, {"list", 24, 40, 5},
	} {
		m, err := Find(outer, tc.path)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := m.Words(); m.offset != tc.offset || m.size != tc.size || n != tc.words || err != nil {
			t.Errorf("%s: offset %d, size %d, %d counters (%v), want %+v", tc.path, m.offset, m.size, n, err, tc)
		}
	}
	for path, complaint := range map[string]string{"in.c": "struct inner has no member c", "n.a": "not a member of a struct"} {
		if _, err := Find(outer, path); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: error %v, want %q", path, err, complaint)
		}
	}
	if m, _ := Find(outer, "in"); m.Histogram() == nil {
		t.Error("a struct that is no histogram was taken for one")
	}
}

func TestEnumNames(t *testing.T) {
	enum := func(names ...string) *btf.Enum {
		e := &btf.Enum{Size: 4}
		for i, n := range names {
			e.Values = append(e.Values, btf.EnumValue{Name: n, Value: uint64(i)})
		}
		return e
	}
	for _, tc := range []struct {
		enum *btf.Enum
		want map[uint64]string
	}{
		{enum("DISKIO_READ", "DISKIO_RESET"), map[uint64]string{0: "read", 1: "reset"}},
		{enum("A_B_RX", "A_B_TX_OK"), map[uint64]string{0: "rx", 1: "tx_ok"}},
		{enum("X_ONLY"), map[uint64]string{0: "x_only"}},
		{enum("OPEN", "READ"), map[uint64]string{0: "open", 1: "read"}},
	} {
		if got := enumNames(tc.enum); !maps.Equal(got, tc.want) {
			t.Errorf("%v: %v, want %v", tc.enum.Values, got, tc.want)
		}
	}
}
