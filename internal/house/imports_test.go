// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"slices"
	"strings"
)

const module = "github.com/kernscope/kernscope"

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

// unshipped are the folders with code beside the tests that no user gets.
var unshipped = []string{"bench", "bench/*", "test/*", "internal/kerneltest", "internal/kerneltest/*", "internal/metric/histtest", "internal/engine/enginetest"}

// checkHelpers finds test helpers in what is shipped.
func checkHelpers(files []file) (complaints []string) {
	for _, f := range files {
		if !f.isTest() && !matchesAny(unshipped, f.dir()) && slices.Contains(f.imports(), "testing") {
			complaints = append(complaints, fmt.Sprintf("%s: imports testing, which is for tests", f.path))
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

func matchesAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, dir) })
}

func orNothing(patterns []string) string {
	if len(patterns) == 0 {
		return "nothing of ours"
	}
	return strings.Join(patterns, ", ")
}
