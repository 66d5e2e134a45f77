// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// tenants are owners of a test: the first byte of a field says which.
type tenants struct {
	gone map[byte]bool
	// missing are called gone before they are.
	missing map[byte]bool
	// leaving is what they still do after the rows were read.
	leaving func()
}

func (o *tenants) Look(raw map[string]bool) map[string]bool {
	o.leaving()
	gone := make(map[string]bool)
	for r := range raw {
		gone[r] = o.gone[r[0]]
	}
	return gone
}

func (o *tenants) Label(name, raw string) string {
	if o.missing[raw[0]] {
		return label.Gone
	}
	return fmt.Sprintf("%s %d", name, raw[0])
}

// tenancy is a table whose key is {u32 name; enum side; u32 owner}.
type tenancy struct{ *Table }

func newTenancy(t *testing.T, size uint32, owners label.Owners) *tenancy {
	t.Helper()
	needMaps(t)
	number := &btf.Int{Name: "u32", Size: 4}
	side := &btf.Enum{Name: "side", Size: 4, Values: []btf.EnumValue{{Name: "SIDE_LEFT", Value: 0}, {Name: "SIDE_RIGHT", Value: 1}}}
	def := &ebpf.MapSpec{
		Type: ebpf.PerCPUHash, KeySize: 12, ValueSize: 8, MaxEntries: size,
		Key: &btf.Struct{Name: "key", Size: 12, Members: []btf.Member{
			{Name: "name", Type: number},
			{Name: "side", Type: side, Offset: 32},
			{Name: "owner", Type: number, Offset: 64},
		}},
		Value: &btf.Int{Name: "u64", Size: 8},
	}
	def.Flags = noPreallocation
	spec := collector.Table{
		Map: "rows", Overflow: &collector.Overflow{Each: "side", Loss: "map_full"},
		Owners: &collector.Owners{Field: "owner", As: func() label.Owners { return owners }},
		Labels: []collector.Label{
			{Name: "name", Field: "name", As: label.Number},
			{Name: "side", Field: "side"},
			{Name: "owner", Field: "owner"},
		},
	}
	maps := newMaps(t, spec, def, 0)
	return &tenancy{maps.open(t, spec)}
}

// mapsOf are a table's maps, as they are in the kernel. They outlive what reads
// them.
type mapsOf struct {
	def    *ebpf.MapSpec
	byName map[string]*ebpf.Map
}

func newMaps(t *testing.T, spec collector.Table, def *ebpf.MapSpec, rows uint32) *mapsOf {
	t.Helper()
	m := &mapsOf{def, make(map[string]*ebpf.Map)}
	obj := &ebpf.CollectionSpec{Maps: map[string]*ebpf.MapSpec{
		spec.Map:          def,
		generationSection: {Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1},
	}}
	Fit(spec, obj, rows)
	for name, def := range obj.Maps {
		plain := *def
		plain.Name, plain.Key, plain.Value = "", nil, nil
		one, err := ebpf.NewMap(&plain)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { one.Close() })
		m.byName[name] = one
	}
	if err := Reserve(spec, def, m.byName[spec.Map]); err != nil {
		t.Fatal(err)
	}
	return m
}

// open opens the table as a process does that adopts its maps.
func (m *mapsOf) open(t *testing.T, spec collector.Table) *Table {
	t.Helper()
	done, err := NewBarrier()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done.Close)
	table, err := Open(spec, m.def, func(name string) *ebpf.Map { return m.byName[name] }, done)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// add counts as a program does: on all CPUs, or not at all if there is no room.
func (h *tenancy) add(name, side, owner uint32, n uint64) error {
	return h.set(name, side, owner, n, ebpf.UpdateNoExist)
}

func (h *tenancy) set(name, side, owner uint32, n uint64, how ebpf.MapUpdateFlags) error {
	var key []byte
	for _, v := range []uint32{name, side, owner} {
		key = binary.NativeEndian.AppendUint32(key, v)
	}
	return h.raw.m.Update(key, slices.Repeat([]uint64{n}, h.raw.cpus), how)
}

// read is what is served, by labels, with the CPUs' equal copies as one.
func (h *tenancy) read(t *testing.T) map[string]uint64 {
	t.Helper()
	read, err := h.Table.Read()
	if err != nil {
		t.Fatal(err)
	}
	served := make(map[string]uint64)
	for _, r := range read.Rows {
		served[fmt.Sprint(r.Labels)] += r.Words[0]
	}
	cpus := uint64(h.raw.cpus)
	for labels, n := range served {
		if n%cpus != 0 {
			t.Errorf("%s is %d on %d CPUs", labels, n, cpus)
		}
		served[labels] = n / cpus
	}
	return served
}

func expectServed(t *testing.T, got, want map[string]uint64) {
	t.Helper()
	for labels := range got {
		if got[labels] != want[labels] {
			t.Errorf("%s is %d, want %d", labels, got[labels], want[labels])
		}
	}
	for labels := range want {
		if _, ok := got[labels]; !ok {
			t.Errorf("%s is missing, want %d", labels, want[labels])
		}
	}
}

// TestOwnersGo says that what the rows of the gone counted is read in the same
// moment as these vanish, under their names, again and again, and that it
// includes what they counted last.
func TestOwnersGo(t *testing.T) {
	owners := &tenants{gone: make(map[byte]bool), leaving: func() {}}
	h := newTenancy(t, 64, owners)
	for _, r := range [][4]uint32{{7, 0, 1, 10}, {7, 1, 1, 20}, {7, 0, 2, 300}, {8, 0, 2, 4000}, {7, 0, 3, 50000}} {
		if err := h.add(r[0], r[1], r[2], uint64(r[3])); err != nil {
			t.Fatal(err)
		}
	}
	live := map[string]uint64{
		"[7 left owner 1]": 10, "[7 right owner 1]": 20,
		"[7 left owner 2]": 300, "[8 left owner 2]": 4000, "[7 left owner 3]": 50000,
	}
	expectServed(t, h.read(t), live)
	owners.gone[1] = true
	want := map[string]uint64{
		"[7 left gone]": 10, "[7 right gone]": 20,
		"[7 left owner 2]": 300, "[8 left owner 2]": 4000, "[7 left owner 3]": 50000,
	}
	expectServed(t, h.read(t), want)
	expectServed(t, h.read(t), want)
	owners.gone[2] = true
	owners.leaving = func() {
		owners.leaving = func() {}
		if err := h.set(7, 0, 2, 305, ebpf.UpdateExist); err != nil {
			t.Error(err)
		}
	}
	want = map[string]uint64{"[7 left gone]": 315, "[7 right gone]": 20, "[8 left gone]": 4000, "[7 left owner 3]": 50000}
	expectServed(t, h.read(t), want)
	rows, err := h.raw.rows()
	// The one that lives, and the two reserved.
	if err != nil || len(rows) != 1+2 {
		t.Errorf("%d rows: %v", len(rows), err)
	}
}

// TestOwnersCountLate says that nothing is lost or served twice of what is counted
// for an owner that is missing, before its rows move and after, and that the move
// itself is not seen.
func TestOwnersCountLate(t *testing.T) {
	owners := &tenants{gone: make(map[byte]bool), missing: make(map[byte]bool), leaving: func() {}}
	h := newTenancy(t, 64, owners)
	count := func(n uint64, how ebpf.MapUpdateFlags) {
		t.Helper()
		if err := h.set(7, 0, 1, n, how); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(n uint64, rows int) {
		t.Helper()
		expectServed(t, h.read(t), map[string]uint64{"[7 left gone]": n, "[7 right gone]": 2000})
		if got, err := h.raw.rows(); err != nil || len(got) != rows+2 { // two are reserved
			t.Errorf("%d rows, want %d: %v", len(got), rows+2, err)
		}
	}
	if err := h.add(7, 1, 2, 2000); err != nil {
		t.Fatal(err)
	}
	owners.gone[2] = true
	count(10, ebpf.UpdateNoExist)
	expectServed(t, h.read(t), map[string]uint64{"[7 left owner 1]": 10, "[7 right gone]": 2000})
	owners.missing[1] = true
	expect(10, 1)
	owners.leaving = func() { count(15, ebpf.UpdateExist) }
	expect(10, 1) // what is counted after the rows were read is for the next reading
	owners.leaving = func() {}
	expect(15, 1)
	for _, total := range []uint64{15, 18, 21} {
		owners.gone[1] = true
		expect(total, 0)
		owners.gone[1] = false       // it is missing anew
		count(3, ebpf.UpdateNoExist) // before the next reading
		expect(total+3, 1)
		expect(total+3, 1)
	}
}

// TestOwnersGoFromAFullMap says that the gone leave all of the map to the living,
// and that nothing is lost when their names find no room.
func TestOwnersGoFromAFullMap(t *testing.T) {
	const size = 32
	owners := &tenants{gone: make(map[byte]bool), leaving: func() {}}
	h := newTenancy(t, size, owners)
	h.keeper.limit = size
	var made, last uint64
	name := uint32(1)
	for owner := uint32(1); owner <= 5; owner++ {
		fitted := 0
		for ; h.add(name, name%2, owner, uint64(name)) == nil; name++ {
			made += uint64(name)
			fitted++
		}
		if fitted != size-2 {
			t.Errorf("%d rows found room after others had gone", fitted)
		}
		owners.gone[byte(owner)] = true
		sum, rest, names := uint64(0), uint64(0), 0
		for labels, n := range h.read(t) {
			sum += n
			switch labels {
			case "[gone left gone]", "[gone right gone]":
				rest += n
			default:
				names++
			}
		}
		if sum != made {
			t.Errorf("%d are served of %d", sum, made)
		}
		if names > size || owner > 1 && names < size {
			t.Errorf("%d names of the gone, and room for %d", names, size)
		}
		if rest < last || owner > 1 && rest == 0 {
			t.Errorf("the rest is %d after %d", rest, last)
		}
		last = rest
	}
}

// What did not fit is lost; what the gone left behind had fitted.
func TestOthersAreLostAndTheGoneAreNot(t *testing.T) {
	h := newTenancy(t, 64, &tenants{gone: map[byte]bool{2: true}, leaving: func() {}})
	const none = 0
	for _, r := range []struct {
		name, side, owner uint32
		n                 uint64
		how               ebpf.MapUpdateFlags
	}{
		{7, 1, 2, 1000, ebpf.UpdateNoExist},
		{none, 0, none, 3, ebpf.UpdateExist},
		{none, 1, none, 20, ebpf.UpdateExist},
	} {
		if err := h.set(r.name, r.side, r.owner, r.n, r.how); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		read, err := h.Table.Read()
		if err != nil {
			t.Fatal(err)
		}
		if want := uint64(23 * h.raw.cpus); read.Lost["map_full"] != want || len(read.Lost) != 1 {
			t.Errorf("%v are lost, want %d", read.Lost, want)
		}
	}
}
