// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
)

// maxLines is the length of a file beyond which it holds more than one idea.
const maxLines = 400

// checkLength finds long files.
func checkLength(files []file) (complaints []string) {
	for _, f := range files {
		if n := strings.Count(f.text, "\n"); n > maxLines && !f.generated {
			complaints = append(complaints, fmt.Sprintf("%s: has %d lines; %d is the most", f.path, n, maxLines))
		}
	}
	return complaints
}

// checkLicence finds files whose first lines do not name their licence. What
// runs in the kernel must be GPL to use its helpers; the rest is Apache.
func checkLicence(files []file) (complaints []string) {
	for _, f := range files {
		if f.generated || strings.HasSuffix(f.path, ".md") {
			continue
		}
		want := "SPDX-License-Identifier: Apache-2.0\n"
		if strings.HasSuffix(f.path, ".c") || strings.HasSuffix(f.path, ".h") {
			want = "SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause"
		}
		head := f.text
		if lines := strings.SplitAfterN(f.text, "\n", 5); len(lines) == 5 {
			head = strings.Join(lines[:4], "")
		}
		if !strings.Contains(head, want) {
			complaints = append(complaints, fmt.Sprintf("%s: lacks %q in its first four lines", f.path, strings.TrimSpace(want)))
		}
	}
	return complaints
}

// checkInit finds init functions, which act at a distance.
func checkInit(files []file) (complaints []string) {
	for _, f := range files {
		if f.syntax == nil || f.generated {
			continue
		}
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				complaints = append(complaints, fmt.Sprintf("%s: has a func init; whoever needs it should call it", f.path))
			}
		}
	}
	return complaints
}

// checkDocs finds packages that do not say what they are.
func checkDocs(files []file) (complaints []string) {
	documented := make(map[string]bool)
	for _, f := range files {
		if f.syntax == nil {
			continue
		}
		name := f.syntax.Name.Name
		if strings.HasSuffix(name, "_test") {
			continue
		}
		want := "Package " + name + " "
		if name == "main" {
			want = "Command "
		}
		documented[f.dir()] = documented[f.dir()] || strings.HasPrefix(f.syntax.Doc.Text(), want)
	}
	for _, dir := range slices.Sorted(maps.Keys(documented)) {
		if !documented[dir] {
			complaints = append(complaints, fmt.Sprintf("%s: no file has a package comment (\"Package x ...\", \"Command x ...\")", dir))
		}
	}
	return complaints
}
