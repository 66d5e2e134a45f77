// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

const firstGeneration = 16

// city is a table of generations whose key is {u32 name; enum side; u32 owner;
// enum row_generation generation}, with programs that are this test.
type city struct {
	*Table
	maps   *mapsOf
	spec   collector.Table
	owners *tenants
	clock  uint64
	made   uint64
}

func newCity(t *testing.T, rows uint32) *city {
	t.Helper()
	needMaps(t)
	number := &btf.Int{Name: "u32", Size: 4}
	side := &btf.Enum{Name: "side", Size: 4, Values: []btf.EnumValue{{Name: "SIDE_LEFT", Value: 0}, {Name: "SIDE_RIGHT", Value: 1}}}
	generation := &btf.Enum{Name: "row_generation", Size: 4, Values: []btf.EnumValue{
		{Name: "ROW_MAP_FULL", Value: 1}, {Name: "ROW_SHARE_FULL", Value: 2}, {Name: "ROW_NO_MEMORY", Value: 3},
		{Name: "ROW_BUSY", Value: 4}, {Name: "ROW_GENERATION", Value: firstGeneration},
	}}
	def := &ebpf.MapSpec{
		Type: ebpf.PerCPUHash, KeySize: 16, ValueSize: 8, Flags: noPreallocation,
		Key: &btf.Struct{Name: "key", Size: 16, Members: []btf.Member{
			{Name: "name", Type: number},
			{Name: "side", Type: side, Offset: 32},
			{Name: "owner", Type: number, Offset: 64},
			{Name: "generation", Type: generation, Offset: 96},
		}},
		Value: &btf.Int{Name: "u64", Size: 8},
	}
	c := &city{owners: &tenants{gone: make(map[byte]bool), leaving: func() {}}, clock: 1e9}
	c.spec = collector.Table{
		Map: "rows", Overflow: &collector.Overflow{Each: "side", Loss: "map_full"}, Bound: &collector.Bound{Option: "rows"},
		Owners: &collector.Owners{Field: "owner", As: func() label.Owners { return c.owners }},
		Labels: []collector.Label{
			{Name: "name", Field: "name", As: label.Number},
			{Name: "side", Field: "side"},
			{Name: "owner", Field: "owner"},
		},
	}
	c.maps = newMaps(t, c.spec, def, rows)
	if err := c.maps.byName[generationSection].Put(uint32(0), uint32(firstGeneration)); err != nil {
		t.Fatal(err)
	}
	c.adopt(t)
	return c
}

// adopt goes on as another process does.
func (c *city) adopt(t *testing.T) {
	t.Helper()
	c.Table = c.maps.open(t, c.spec)
	c.keeper.now = func() uint64 { return c.clock }
}

func (c *city) generation(t *testing.T) (g uint32) {
	t.Helper()
	if err := c.maps.byName[generationSection].Lookup(uint32(0), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// count counts as a program does, on the first CPU: in a row of the generation or,
// beyond "limit" rows, in an overflow row.
func (c *city) count(t *testing.T, name, side, owner uint32, n uint64) {
	t.Helper()
	key := cityKey(name, side, owner, c.generation(t))
	m := c.maps.byName["rows"]
	var values []uint64
	if err := m.Lookup(key, &values); err != nil {
		rows, err := c.raw.rows()
		if err != nil {
			t.Fatal(err)
		}
		present := 0
		for _, r := range rows {
			if c.layout.generationOf(r.key) == c.generation(t) {
				present++
			}
		}
		values = make([]uint64, c.raw.cpus)
		if present >= c.keeper.limit {
			key = cityKey(0, side, 0, 1)
			if err := m.Lookup(key, &values); err != nil {
				t.Fatal(err)
			}
		}
	}
	values[0] += n
	if err := m.Put(key, values); err != nil {
		t.Fatal(err)
	}
	c.made += n
}

func cityKey(words ...uint32) (key []byte) {
	for _, v := range words {
		key = binary.NativeEndian.AppendUint32(key, v)
	}
	return key
}

// look reads, and fails the test unless what is served adds up to what was made.
func (c *city) look(t *testing.T) (served map[string]uint64, read Reading) {
	t.Helper()
	read, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	if read.Names > c.keeper.limit {
		t.Fatalf("%d names are served, %d may be", read.Names, c.keeper.limit)
	}
	c.clock += 1e6
	return c.check(t, read), read
}

func (c *city) check(t *testing.T, read Reading) map[string]uint64 {
	t.Helper()
	served := make(map[string]uint64)
	sum := uint64(0)
	for _, r := range read.Rows {
		served[fmt.Sprint(r.Labels)] += r.Words[0]
		sum += r.Words[0]
	}
	if sum != c.made {
		t.Fatalf("%d are served, %d were made", sum, c.made)
	}
	return served
}

// TestStormThenWork: names that fill a table give way to those that are in use,
// exactly, and no name is served twice.
func TestStormThenWork(t *testing.T) {
	const rows = 40
	c := newCity(t, rows)
	for range 5 { // old friends
		c.count(t, 7, 0, 1, 10)
		c.look(t)
	}
	for name := range uint32(3 * rows) {
		c.count(t, 1000+name, name%2, 2, 1)
	}
	_, read := c.look(t)
	if !read.Full || !read.Changed || read.Lost["map_full"] != 2*rows+1 {
		t.Errorf("after a storm: full %v, changed %v, lost %v", read.Full, read.Changed, read.Lost)
	}
	for name := range uint32(30) {
		c.count(t, 2000+name, 1, 3, 5)
	}
	c.count(t, 7, 0, 1, 10)
	served, read := c.look(t)
	if !read.Full || read.Changed {
		t.Errorf("soon after: full %v, changed %v", read.Full, read.Changed)
	}
	for name := range 30 {
		if labels := fmt.Sprintf("[%d right owner 3]", 2000+name); served[labels] != 5 {
			t.Errorf("%s is %d", labels, served[labels])
		}
	}
	if served["[7 left owner 1]"] != 60 {
		t.Errorf("the old friend has %d of 60", served["[7 left owner 1]"])
	}
	if read.Lost["map_full"] != 2*rows+1 {
		t.Errorf("%v are lost", read.Lost)
	}
}

// TestMovesInTurns: what one reading does not move, the next ones do.
func TestMovesInTurns(t *testing.T) {
	const rows = 40
	c := newCity(t, rows)
	c.keeper.most = 7
	for name := range uint32(rows) {
		c.count(t, name, name%2, 1, 1+uint64(name))
	}
	for range rows/7 + 1 {
		if served, _ := c.look(t); len(served) != rows {
			t.Errorf("%d names are served of %d", len(served), rows)
		}
	}
	if _, read := c.look(t); read.Entries != len(c.layout.overflow) {
		t.Errorf("%d rows are left", read.Entries)
	}
}

// TestRefusedWithoutRows: where no row is left that was added, as after a table
// became another, a new generation lets rows be added again.
func TestRefusedWithoutRows(t *testing.T) {
	c := newCity(t, 40)
	c.look(t)
	c.refuse(t, 5)
	before := c.generation(t)
	for range 3 {
		c.look(t)
	}
	if now := c.generation(t); now != before+1 {
		t.Errorf("generation %d after %d", now, before)
	}
}

// TestSharesLast: who has used up a share gets no other at the next reading, but a
// minute later.
func TestSharesLast(t *testing.T) {
	c := newCity(t, 40)
	c.count(t, 1, 0, 1, 3)
	c.look(t)
	before := c.generation(t)
	c.refuse(t, 5)
	c.look(t)
	if now := c.generation(t); now != before {
		t.Errorf("generation %d after %d, at the next reading", now, before)
	}
	c.clock += sharesLast
	c.look(t)
	if now := c.generation(t); now != before+1 {
		t.Errorf("generation %d after %d, a minute later", now, before)
	}
}

// refuse counts events that were beyond a share.
func (c *city) refuse(t *testing.T, events uint64) {
	t.Helper()
	key, values := cityKey(0, 0, 0, 2), make([]uint64, c.raw.cpus)
	values[0] = events
	if err := c.maps.byName["rows"].Put(key, values); err != nil {
		t.Fatal(err)
	}
	c.made += events
}

// TestIdleNamesGo: a name that nobody uses is given up after an hour, and not
// before.
func TestIdleNamesGo(t *testing.T) {
	c := newCity(t, 40)
	c.count(t, 7, 0, 1, 10)
	c.count(t, 8, 1, 1, 300)
	for minutes := 0; minutes < 55; minutes++ {
		c.count(t, 8, 1, 1, 1)
		if served, _ := c.look(t); served["[7 left owner 1]"] != 10 {
			t.Fatalf("after %d minutes: %v", minutes, served)
		}
		c.clock += 60e9
	}
	for range 30 {
		c.count(t, 8, 1, 1, 1)
		c.look(t)
		c.clock += 60e9
	}
	served, _ := c.look(t)
	expectServed(t, served, map[string]uint64{"[gone left gone]": 10, "[8 right owner 1]": 385})
	c.count(t, 7, 0, 1, 1) // is back
	served, _ = c.look(t)
	if served["[7 left owner 1]"] != 1 || served["[gone left gone]"] != 10 {
		t.Errorf("served: %v", served)
	}
}

// TestZeroAndAllOnesAreNames: no key of a program equals a reserved row.
func TestZeroAndAllOnesAreNames(t *testing.T) {
	c := newCity(t, 40)
	const ones = 0xffffffff
	c.count(t, 0, 0, 0, 1)
	c.count(t, 0, 0, ones, 20)
	c.count(t, ones, 1, ones, 300)
	want := map[string]uint64{"[0 left owner 0]": 1, "[0 left owner 255]": 20, "[4294967295 right owner 255]": 300}
	for range 3 {
		served, read := c.look(t)
		expectServed(t, served, want)
		if read.Full || read.Lost["map_full"] != 0 {
			t.Errorf("%+v", read)
		}
		c.clock += 700e9
	}
}
