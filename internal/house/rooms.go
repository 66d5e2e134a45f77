// SPDX-License-Identifier: Apache-2.0

package house

import (
	"path"
	"slices"
	"strings"
)

// Room is a folder of the tree.
type Room struct {
	// Dir is the folder, or a pattern of path.Match.
	Dir string
	// Holds says what lives there.
	Holds string
	// MayImport are the folders of ours that its files may import, tests aside.
	MayImport []string
}

// Rooms returns every room, from the ground up: a room imports only rooms that
// come before it. A folder of Go files that is in no room fails a test.
func Rooms() []Room {
	return []Room{
		{"bpf", "headers of the kernel halves: kernel types, histogram, rows; no maps, no programs", nil},
		{"internal/label", "raw key member → label value; every decoder owns what it caches; which owners of rows are gone", nil},
		{"internal/metric", "families and histograms as values, and how client_golang sees them", nil},
		{"internal/metric/histtest", "programs that run the histogram of `bpf` against exact arithmetic", nil},
		{"internal/kernel", "what this machine can do: yes, no or unknown, with a reason and a remedy", nil},
		{"internal/privilege", "giving up capabilities, and holding those that are needed again", nil},
		{"internal/sandbox", "what serving forbids its own process: a filter of system calls, and Landlock", nil},
		{"internal/house", "this table, and the rules of the house as tests", nil},
		{"collector", "the contract: `Spec`, data without behaviour", []string{"internal/label", "internal/metric"}},
		{"collector/*", "one collector: program, Spec, test, README, generated object", []string{"collector", "internal/label", "internal/metric"}},
		{"collector/builtin", "the one list of collectors", []string{"collector", "collector/*"}},
		{"internal/attach", "a plan and maps in, a set of attached programs out", []string{"collector", "internal/kernel", "internal/label", "internal/metric"}},
		{"internal/table", "map → rows → labels, once for each row; rows for what does not fit, and rows that go", []string{"collector", "internal/label", "internal/metric"}},
		{"internal/engine", "collectors as state machines: Spec → attached programs → families", []string{"collector", "internal/attach", "internal/kernel", "internal/label", "internal/metric", "internal/table"}},
		{"internal/engine/enginetest", "a collector for tests of the engine, with programs that fail in every way", []string{"collector"}},
		{"internal/kit", "Specs → scrape configuration, rules and their tests, dashboard, units of systemd", []string{"collector", "internal/metric"}},
		{"internal/textfile", "files that appear whole or not at all", []string{"internal/metric"}},
		// The server is handed a function that yields families, not the engine.
		{"internal/server", "the only importer of net/http", []string{"internal/metric"}},
		{"internal/kerneltest/compat", "system calls as 32-bit programs make them", nil},
		{"internal/kerneltest", "helpers of the ground-truth tests", []string{"collector", "internal/engine", "internal/kernel", "internal/label", "internal/metric"}},
		{"internal/gen/*", "programs that write generated files: tables of system calls, `deploy`, parts of the docs", []string{"collector", "collector/builtin", "internal/house", "internal/kit", "internal/metric"}},
		{"cmd/*", "parse, run, exit code; one file for each subcommand", []string{"collector", "collector/builtin", "internal/attach", "internal/engine", "internal/kernel", "internal/kit", "internal/label", "internal/metric", "internal/privilege", "internal/sandbox", "internal/server", "internal/textfile"}},
		{"deploy", "what a user installs besides the binary; generated but for `deploy/package`", nil},
		{"bench/textbook", "the same measurements as the well-known tools write them", []string{"collector", "collector/*", "internal/label"}},
		{"bench", "cost per event, scrape and memory: docs/OVERHEAD.md", []string{"bench/textbook", "collector", "collector/*", "collector/builtin", "internal/engine", "internal/kernel", "internal/kerneltest", "internal/metric"}},
		{"test/*", "other kernels under QEMU; bare machines; a Debian with systemd; real Prometheus, Alertmanager, node_exporter and Grafana's types; docs/ACCURACY.md; the last lines of a test run; what the matrix tests in a run of CI", []string{"collector", "collector/builtin", "internal/kernel", "internal/kerneltest", "internal/metric"}},
	}
}

// find returns the index of a folder's room: the one of that name, else the
// first whose pattern matches; -1 if it has none.
func find(rooms []Room, dir string) int {
	if i := slices.IndexFunc(rooms, func(r Room) bool { return r.Dir == dir }); i >= 0 {
		return i
	}
	return slices.IndexFunc(rooms, func(r Room) bool { return matches(r.Dir, dir) })
}

// matches reports whether a folder matches a pattern. It panics on a bad
// pattern: the tables are constant.
func matches(pattern, dir string) bool {
	ok, err := path.Match(pattern, dir)
	if err != nil {
		panic(err)
	}
	return ok
}

// Table returns the rooms as a table of Markdown.
func Table() string {
	var text strings.Builder
	text.WriteString("| folder | what lives there | what it may import of ours |\n|---|---|---|\n")
	for _, r := range Rooms() {
		imports := "–"
		if len(r.MayImport) > 0 {
			imports = "`" + strings.Join(r.MayImport, "`, `") + "`"
		}
		text.WriteString("| `" + strings.ReplaceAll(r.Dir, "/*", "/NAME") + "` | " + r.Holds + " | " + strings.ReplaceAll(imports, "/*", "/NAME") + " |\n")
	}
	return text.String()
}
