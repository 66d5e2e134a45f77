// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// toolList names the commands that tests start, and their packages.
const toolList = "internal/kerneltest/tools"

// starters are the functions that start or look for a command, and which of
// their arguments is its name.
var starters = map[string]int{
	"exec.Command": 0, "exec.CommandContext": 1, "exec.LookPath": 0,
	"kerneltest.Command": 1, "kerneltest.Tool": 1,
}

// checkTools finds tests that start a command by a name that the list of tools
// lacks, so that scripts/test does not install it. What test/e2e needs is
// installed by test/e2e/run.
func checkTools(files []file) (complaints []string) {
	var listed []string
	for _, f := range files {
		if f.path == toolList {
			for line := range strings.Lines(f.text) {
				if !strings.HasPrefix(line, "#") {
					listed = append(listed, strings.Fields(line)[0])
				}
			}
		}
	}
	for _, f := range files {
		if f.syntax == nil || !f.isTest() || f.dir() == "test/e2e" {
			continue
		}
		for n := range ast.Preorder(f.syntax) {
			name := started(n)
			if name != "" && name != "/proc/self/exe" && !slices.Contains(listed, name) {
				complaints = append(complaints, fmt.Sprintf("%s: starts %s, which is not in %s", f.path, name, toolList))
			}
		}
	}
	return complaints
}

// started returns the command that a call starts, if the call names it.
func started(n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return ""
	}
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := function.X.(*ast.Ident)
	if !ok {
		return ""
	}
	argument, ok := starters[pkg.Name+"."+function.Sel.Name]
	if !ok || argument >= len(call.Args) {
		return ""
	}
	literal, ok := call.Args[argument].(*ast.BasicLit)
	if !ok {
		return ""
	}
	name, err := strconv.Unquote(literal.Value)
	if err != nil {
		return "" // a number, which does not compile
	}
	return name
}
