// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForeignFilesStay tries to replace and to remove what kernscope did not write.
func TestForeignFilesStay(t *testing.T) {
	text := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o644) }
	}
	for how, put := range map[string]func(path string) error{
		"another tool's file": text("backup_memory_bytes 1\n"),
		"empty":               text(""),
		"one long line":       text(strings.Repeat("x", 1<<20)),
		"mark is not first":   text("x 1\n" + mark),
		"mark and more":       text(strings.TrimSpace(mark) + " Or not.\n"),
		"mention":             text("# HELP x of kernscope_collector_success{\nx 1\n"),
		"folder":              func(path string) error { return os.Mkdir(path, 0o755) },
		"FIFO":                func(path string) error { return unix.Mkfifo(path, 0o644) },
		"device":              func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))) },
		"link to our file": func(path string) error {
			target := filepath.Join(filepath.Dir(path), "target")
			return errors.Join(text(mark)(target), os.Symlink(target, path))
		},
		"link to nothing": func(path string) error { return os.Symlink("/nothing/at/all", path) },
		"hard link": func(path string) error {
			other := filepath.Join(filepath.Dir(path), "other")
			return errors.Join(text("x 1\n")(other), os.Link(other, path))
		},
		"endless": func(path string) error { return errors.Join(text("")(path), os.Truncate(path, 1<<40)) },
	} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.prom")
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			d := open(t, dir)
			for _, err := range []error{d.Check("x.prom"), d.Write("x.prom", []byte("y 2\n")), d.Remove("x.prom")} {
				if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), path+": it is not kernscope's") {
					t.Errorf("error %v", err)
				}
			}
			after, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if !os.SameFile(before, after) || before.Size() != after.Size() {
				t.Error("it was replaced")
			}
		})
	}
}

// TestOurFilesAreReplaced has a file as this version writes it, and one as versions did that wrote
// no mark; also where another name leads to it.
func TestOurFilesAreReplaced(t *testing.T) {
	for _, text := range []string{mark, mark + "x 1\n", "# HELP kernscope_collector_success x\n# TYPE kernscope_collector_success gauge\n" +
		"kernscope_collector_success{collector=\"memory\"} 1\n"} {
		dir := t.TempDir()
		path, other := filepath.Join(dir, "x.prom"), filepath.Join(dir, "other")
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Link(path, other)); err != nil {
			t.Fatal(err)
		}
		d := open(t, dir)
		if err := d.Write("x.prom", []byte("y 2\n")); err != nil {
			t.Error(err)
		}
		if got := content(t, dir)["x.prom"]; got != "y 2\n" {
			t.Errorf("text %q", got)
		}
		if kept, err := os.ReadFile(other); err != nil || string(kept) != text {
			t.Errorf("the other name has %q, %v", kept, err)
		}
		if err := d.Remove("x.prom"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it stays: %v", err)
		}
	}
}
