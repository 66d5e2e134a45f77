// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path"
	"slices"
	"strings"
)

// turns is how many runs in a row test everything.
const turns = 3

// pkg is a package with tests.
type pkg struct {
	path, line string
	folders    []string // of ours in its test binary, from the top
}

// folders returns the folders of those dependencies that are ours. A package
// that is compiled for a test is "PATH [PATH.test]".
func folders(deps string) (folders []string) {
	for dep := range strings.SplitSeq(deps, "\t") {
		dep, _, _ = strings.Cut(dep, " ")
		if folder, ours := strings.CutPrefix(dep, module); ours {
			folders = append(folders, folder)
		}
	}
	return folders
}

// touched reports whether a change of these files can change what the
// package's tests do. A header's change shows in the objects compiled from it,
// which are committed beside the Go files.
func (p pkg) touched(changed []string) bool {
	return slices.ContainsFunc(changed, func(file string) bool {
		if strings.HasSuffix(file, ".md") {
			return false
		}
		if file == "go.mod" || file == "go.sum" || strings.HasPrefix(file, "test/vm/") {
			return true
		}
		folder, _, _ := strings.Cut(path.Dir(file), "/testdata")
		return slices.Contains(p.folders, folder)
	})
}

// hasTurn reports whether it is this package's turn on this kernel, both by
// number. At each turn, a third of the packages is due on every kernel.
func hasTurn(kernel, pkg, turn int) bool { return (kernel+pkg+turn)%turns == 0 }
