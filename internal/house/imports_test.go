// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "github.com/kernscope/kernscope"

type room struct {
	dir       string
	mayImport []string
}

// rooms says which folders of ours a folder's files may import, tests aside.
// A folder takes the first row that matches it; patterns are of path.Match.
// A folder without a row fails: give it one that says where it stands.
var rooms = []room{
	{"internal/metric", nil},
	{"internal/metric/histtest", nil},
	{"internal/label", nil},
	{"internal/kernel", nil},
	{"internal/privilege", nil},
	{"internal/house", nil},
	{"collector", []string{"internal/label", "internal/metric"}},
	{"collector/builtin", []string{"collector", "collector/*"}},
	{"collector/*", []string{"collector", "internal/label", "internal/metric"}},
	{"internal/attach", []string{"collector", "internal/kernel", "internal/label", "internal/metric"}},
	{"internal/table", []string{"collector", "internal/label", "internal/metric"}},
	{"internal/engine", []string{"collector", "internal/attach", "internal/kernel", "internal/label", "internal/metric", "internal/table"}},
	{"internal/kit", []string{"collector", "internal/metric"}},
	{"internal/textfile", []string{"internal/metric"}},
	// The server is handed a function that yields families, not the engine.
	{"internal/server", []string{"internal/metric"}},
	{"internal/gen/*", []string{"collector", "collector/*", "internal/*"}},
	{"cmd/*", []string{"collector", "collector/*", "internal/*"}},
	{"internal/kerneltest", []string{"collector", "internal/engine", "internal/kernel", "internal/label", "internal/metric"}},
	{"internal/kerneltest/compat", nil},
	{"internal/engine/enginetest", []string{"collector"}},
	{"bench", []string{"*", "*/*", "*/*/*"}},
	{"bench/*", []string{"*", "*/*", "*/*/*"}},
	{"test/*", []string{"*", "*/*", "*/*/*"}},
}

// reserved are the packages of the outside that only some folders may import,
// with the reason. Tests may import anything.
var reserved = []struct {
	pkg    string // with what is below it
	dirs   []string
	reason string
}{
	{
		"net/http",
		[]string{"internal/server", "bench", "bench/*", "test/*"},
		"whatever speaks HTTP is in the server",
	},
	{
		"os/exec",
		[]string{"internal/gen/*", "internal/kerneltest", "bench", "bench/*", "test/*"},
		"the exporter starts no other program",
	},
	{
		"github.com/cilium/ebpf",
		[]string{"collector", "internal/attach", "internal/table", "internal/engine", "internal/kernel", "internal/kerneltest", "bench", "bench/*", "test/*"},
		"a collector is data; only the engine's rooms and the questions to the kernel touch BPF",
	},
}

// checkRooms finds imports of ours against the table, and folders without a row.
func checkRooms(files []file) (complaints []string) {
	for _, f := range files {
		if f.syntax == nil || f.isTest() {
			continue
		}
		i := slices.IndexFunc(rooms, func(r room) bool { return matches(r.dir, f.dir()) })
		if i < 0 {
			complaints = append(complaints, fmt.Sprintf("%s: no row of rooms in internal/house says what %s may import", f.path, f.dir()))
			continue
		}
		for _, imported := range f.imports() {
			dir, ours := strings.CutPrefix(imported, module+"/")
			if ours && !matchesAny(rooms[i].mayImport, dir) {
				complaints = append(complaints, fmt.Sprintf("%s: imports %s; %s may import %s", f.path, dir, rooms[i].dir, orNothing(rooms[i].mayImport)))
			}
		}
	}
	return complaints
}

// helpers are the folders that only tests may import.
var helpers = []string{"internal/kerneltest", "internal/kerneltest/*", "internal/metric/histtest", "internal/engine/enginetest"}

// unshipped are the folders with code beside the tests that no user gets.
var unshipped = append([]string{"bench", "bench/*", "test/*"}, helpers...)

// checkHelpers finds test helpers in what is shipped.
func checkHelpers(files []file) (complaints []string) {
	for _, f := range files {
		if f.isTest() || matchesAny(unshipped, f.dir()) {
			continue
		}
		for _, imported := range f.imports() {
			if imported == "testing" || matchesAny(helpers, strings.TrimPrefix(imported, module+"/")) {
				complaints = append(complaints, fmt.Sprintf("%s: imports %s, which is for tests", f.path, imported))
			}
		}
	}
	return complaints
}

// checkReserved finds imports of the outside against the table. Generated
// files embed BPF objects and may import what reads them.
func checkReserved(files []file) (complaints []string) {
	for _, f := range files {
		if f.isTest() || f.generated {
			continue
		}
		for _, imported := range f.imports() {
			for _, r := range reserved {
				if (imported == r.pkg || strings.HasPrefix(imported, r.pkg+"/")) && !matchesAny(r.dirs, f.dir()) {
					complaints = append(complaints, fmt.Sprintf("%s: imports %s; only %s may: %s", f.path, imported, strings.Join(r.dirs, ", "), r.reason))
				}
			}
		}
	}
	return complaints
}

// matches panics on a bad pattern: the tables are constant.
func matches(pattern, dir string) bool {
	ok, err := path.Match(pattern, dir)
	if err != nil {
		panic(err)
	}
	return ok
}

func matchesAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, dir) })
}

func orNothing(patterns []string) string {
	if len(patterns) == 0 {
		return "nothing of ours"
	}
	return strings.Join(patterns, ", ")
}
