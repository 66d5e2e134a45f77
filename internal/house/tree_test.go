// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

// root is the top of the repository.
const root = "../.."

// file is a source file of ours.
type file struct {
	path      string // from the top: internal/label/label.go
	text      string
	syntax    *ast.File // nil if not Go
	generated bool
}

func (f file) dir() string { return path.Dir(f.path) }

// isTest says whether the file is not part of what is shipped.
func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// imports are the paths that a Go file imports.
func (f file) imports() []string {
	var paths []string
	if f.syntax != nil {
		for _, spec := range f.syntax.Imports {
			paths = append(paths, strings.Trim(spec.Path.Value, "`\""))
		}
	}
	return paths
}

// sources reads all source files of a tree: Go for every platform, C, the
// collectors' READMEs, scripts, which are known by their first line, and the
// list of tools.
func sources(tree fs.FS) ([]file, error) {
	var files []file
	positions := token.NewFileSet()
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == ".git" || name == "dist" || path.Base(name) == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		ext := path.Ext(name)
		if !entry.Type().IsRegular() || name == "kernscope" || ext == ".o" {
			return nil
		}
		raw, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f := file{path: name, text: string(raw)}
		switch {
		case ext == ".go":
			if f.syntax, err = parser.ParseFile(positions, name, raw, parser.ParseComments); err != nil {
				return fmt.Errorf("parsing: %w", err)
			}
			f.generated = ast.IsGenerated(f.syntax)
		case ext == ".c" || ext == ".h" || matches("collector/*/README.md", name) || name == toolList:
		case !strings.HasPrefix(f.text, "#!"):
			return nil
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// TestHouse holds the tree to every rule.
func TestHouse(t *testing.T) {
	files, err := sources(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, complaint := range r.check(files) {
				t.Error(complaint)
			}
		})
	}
}
