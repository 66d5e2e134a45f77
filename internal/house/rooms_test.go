// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// checkRooms finds imports of ours against the table, and folders without a row.
func checkRooms(files []file) (complaints []string) {
	rooms := Rooms()
	for _, f := range files {
		if f.syntax == nil || f.isTest() {
			continue
		}
		i := find(rooms, f.dir())
		if i < 0 {
			complaints = append(complaints, fmt.Sprintf("%s: no row of rooms in internal/house says what %s may import", f.path, f.dir()))
			continue
		}
		for _, imported := range f.imports() {
			dir, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if j := find(rooms, dir); j < 0 || !slices.Contains(rooms[i].MayImport, rooms[j].Dir) {
				complaints = append(complaints, fmt.Sprintf("%s: imports %s; %s may import %s", f.path, dir, rooms[i].Dir, orNothing(rooms[i].MayImport)))
			}
		}
	}
	return complaints
}

// checkOneWay finds rooms that may import themselves, what comes after them, or
// what there is not: without these there is no cycle.
func checkOneWay(rooms []Room) (complaints []string) {
	for i, r := range rooms {
		for _, allowed := range r.MayImport {
			switch j := slices.IndexFunc(rooms, func(r Room) bool { return r.Dir == allowed }); {
			case j < 0:
				complaints = append(complaints, fmt.Sprintf("%s may import %s, which is no room", r.Dir, allowed))
			case j >= i:
				complaints = append(complaints, fmt.Sprintf("%s may import %s, which does not come before it", r.Dir, allowed))
			}
		}
	}
	return complaints
}

func TestRoomsAreOneWay(t *testing.T) {
	for _, complaint := range checkOneWay(Rooms()) {
		t.Error(complaint)
	}
	for _, tt := range []struct {
		name  string
		rooms []Room
		want  string
	}{
		{"down", []Room{{"a", "", nil}, {"b", "", []string{"a"}}}, ""},
		{"up", []Room{{"a", "", []string{"b"}}, {"b", "", nil}}, "a may import b, which does not come before it"},
		{"cycle", []Room{{"a", "", nil}, {"b", "", []string{"c"}}, {"c", "", []string{"b"}}}, "b may import c"},
		{"itself", []Room{{"a/*", "", []string{"a/*"}}}, "a/* may import a/*"},
		{"nowhere", []Room{{"a", "", []string{"z"}}}, "no room"},
	} {
		if got := strings.Join(checkOneWay(tt.rooms), "\n"); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// maxFields is the number of fields beyond which a struct of the engine's rooms
// holds more than one idea.
const maxFields = 10

// checkFields finds structs of the engine's rooms with many fields.
func checkFields(files []file) (complaints []string) {
	for _, f := range files {
		if f.syntax == nil || !slices.Contains([]string{"internal/attach", "internal/table", "internal/engine"}, f.dir()) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && countFields(s) > maxFields {
				complaints = append(complaints, fmt.Sprintf("%s: %s has %d fields; %d are the most", f.path, spec.Name, countFields(s), maxFields))
			}
			return true
		})
	}
	return complaints
}

// countFields returns the number of a struct's fields. A lock is none: it belongs
// to those that it guards.
func countFields(s *ast.StructType) int {
	n := s.Fields.NumFields()
	for _, f := range s.Fields.List {
		if t, ok := f.Type.(*ast.SelectorExpr); ok && strings.HasSuffix(t.Sel.Name, "Mutex") {
			n -= max(1, len(f.Names))
		}
	}
	return n
}
