// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, path string) *Directory {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// content returns the files of a directory, by name, but for the lock. Their texts lack the first
// line, which must be kernscope's mark if they end in ".prom".
func content(t *testing.T, path string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		text, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		rest, ok := strings.CutPrefix(string(text), mark)
		if !ok && strings.HasSuffix(e.Name(), ".prom") {
			t.Errorf("%s begins with %.60q", e.Name(), text)
		}
		found[e.Name()] = rest
	}
	return found
}

// mount mounts a file system of the given size until the test ends.
func mount(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestWriteReplaces(t *testing.T) {
	path := t.TempDir()
	mask := unix.Umask(0o077)
	defer unix.Umask(mask)
	d := open(t, path)
	for _, text := range []string{"a 1\n", strings.Repeat("b 2\n", 1000), "c 3\n"} {
		if err := d.Write("x.prom", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); len(got) != 1 || got["x.prom"] != text {
			t.Errorf("%d files after writing %.10q", len(got), text)
		}
	}
	info, err := os.Stat(filepath.Join(path, "x.prom"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
	for range 2 { // the second time, the file does not exist
		if err := d.Remove("x.prom"); err != nil {
			t.Error(err)
		}
	}
	if got := content(t, path); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// TestReaderSeesWholeFiles opens a file before it is replaced. The reader must still get the old
// content, which it would not if the file were written in place.
func TestReaderSeesWholeFiles(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := d.Write("x.prom", []byte("old 1\n")); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(filepath.Join(path, "x.prom"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := d.Write("x.prom", []byte("new 2\n")); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(old); err != nil || text.String() != mark+"old 1\n" {
		t.Errorf("%q, %v", &text, err)
	}
}

func TestFullDiskLeavesTheOldFile(t *testing.T) {
	path := mount(t, "64k")
	d := open(t, path)
	if err := d.Write("x.prom", []byte("old 1\n")); err != nil {
		t.Fatal(err)
	}
	err := d.Write("x.prom", make([]byte, 128<<10))
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), filepath.Join(path, "x.prom")) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	if got := content(t, path); len(got) != 1 || got["x.prom"] != "old 1\n" {
		t.Errorf("left: %d files", len(got))
	}
	if err := d.Write("x.prom", []byte("new 2\n")); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readOnly := mount(t, "64k")
	if err := unix.Mount("", readOnly, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	taken := t.TempDir()
	first := open(t, taken)
	for _, tt := range []struct{ path, says string }{
		{filepath.Join(t.TempDir(), "missing"), "does not exist: create it, or name node_exporter's"},
		{file, "not a directory"},
		{readOnly, "read-only"},
		{taken, "another kernscope"},
	} {
		d, err := Open(tt.path)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.path) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want one that says %q", tt.path, err, tt.says)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, taken)
}

// TestOpenTidies opens a directory that has the unfinished file of a killed process, beside what
// others have put there under such names.
func TestOpenTidies(t *testing.T) {
	path := t.TempDir()
	in := func(name string) string { return filepath.Join(path, name) }
	theirs := []string{"x.txt", ".other", "kernscope-x", unfinished + "notes", unfinished + "y.prom-9"}
	for _, name := range append(theirs, unfinished+"x.prom-123") {
		if err := os.WriteFile(in(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder, link, fifo := unfinished+"z.prom-1", unfinished+"z.prom-2", unfinished+"z.prom-3"
	if err := errors.Join(
		os.Chown(in(unfinished+"y.prom-9"), 65534, 65534),
		os.MkdirAll(filepath.Join(in(folder), "full"), 0o700),
		os.Symlink("/etc/passwd", in(link)),
		unix.Mkfifo(in(fifo), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if err := d.Write("x.prom", nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(in(unfinished + "x.prom-123")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished file stays: %v", err)
	}
	for _, name := range append(theirs, folder, link, fifo) {
		if _, err := os.Lstat(in(name)); err != nil {
			t.Error(err)
		}
	}
}
