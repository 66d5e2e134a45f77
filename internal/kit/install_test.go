// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree returns what is in a folder: the mode and the content of everything, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch info.Mode().Type() {
		case 0:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += " " + string(text)
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " " + to
		}
		found[strings.TrimPrefix(path, dir+"/")] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestInstall(t *testing.T) {
	mask := unix.Umask(0o077)
	defer unix.Umask(mask)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "other.service"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"first", "second, which is longer", "3"} {
		files := map[string][]byte{"a.service": []byte(content), "a@b.service.d/needs.conf": []byte(content + "!")}
		if err := Install(dir, files); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"other.service": "-rw------- other", "a.service": "-rw-r--r-- " + content,
			"a@b.service.d": "drwxr-xr-x", "a@b.service.d/needs.conf": "-rw-r--r-- " + content + "!",
		}
		if got := tree(t, dir); !maps.Equal(got, want) {
			t.Errorf("there is %q, want %q", got, want)
		}
	}
	// A directory may be a link: who names it means where it leads.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Install(link+"/", map[string][]byte{"a.service": []byte("by a link")}); err != nil || tree(t, dir)["a.service"] != "-rw-r--r-- by a link" {
		t.Errorf("%v: %q", err, tree(t, dir))
	}
}

// TestInstallNothing has something in the way of one file. Then the others are not
// written either, and what was there stays.
func TestInstallNothing(t *testing.T) {
	files := map[string][]byte{
		"a.service": []byte("new a"), "e/f/g": []byte("new g"), "b@c.service.d/needs.conf": []byte("new needs"), "m.service": bytes.Repeat([]byte("m"), 100_000), "z.service": []byte("new z"),
	}
	for name, spoil := range map[string]func(dir string) error{
		"a directory":         func(dir string) error { return os.Mkdir(filepath.Join(dir, "z.service"), 0o755) },
		"a masked unit":       func(dir string) error { return os.Symlink("/dev/null", filepath.Join(dir, "z.service")) },
		"a link to a file":    func(dir string) error { return os.Symlink(filepath.Join(dir, "old"), filepath.Join(dir, "m.service")) },
		"a dangling link":     func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "z.service")) },
		"a FIFO":              func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "z.service"), 0o644) },
		"a file for a folder": func(dir string) error { return os.WriteFile(filepath.Join(dir, "b@c.service.d"), nil, 0o644) },
		"a link for a folder": func(dir string) error { return os.Symlink(dir, filepath.Join(dir, "b@c.service.d")) },
		"a full disk":         func(dir string) error { return os.WriteFile(filepath.Join(dir, "big"), make([]byte, 210_000), 0o644) },
		"no more files":       func(dir string) error { return fill(dir) },
		"a read-only disk":    func(dir string) error { return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("none", dir, "tmpfs", 0, "size=256k,nr_inodes=64"); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(dir, unix.MNT_DETACH)
			for _, old := range []string{"a.service", "old"} {
				if err := os.WriteFile(filepath.Join(dir, old), []byte("old"), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			err := Install(dir, files)
			if err == nil || !strings.Contains(err.Error(), "nothing is written") || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v", err)
			}
			if after := tree(t, dir); !maps.Equal(before, after) {
				t.Errorf("there is %.200q, want %.200q", after, before)
			}
		})
	}
	for _, dir := range []string{"/nosuch/folder", "/dev/null", "/proc/self/exe"} {
		if err := Install(dir, files); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// fill leaves room for two more files.
func fill(dir string) error {
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", i+1)), nil, 0o644); errors.Is(err, unix.ENOSPC) {
			return errors.Join(os.Remove(filepath.Join(dir, "x")), os.Remove(filepath.Join(dir, "xx")))
		} else if err != nil {
			return err
		}
	}
	return errors.New("there is no end of files")
}

// TestInstallUndoes fails when some files are replaced: a rename may fail that was
// prepared well.
func TestInstallUndoes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.service"), []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	tr := transaction{directory: dir}
	for _, name := range []string{"a.service", "b.service", "c.service.d/needs.conf", "d.service"} {
		if err := tr.prepare(filepath.Join(dir, name), []byte("new")); err != nil {
			t.Fatal(err)
		}
	}
	last := filepath.Join(dir, "d.service")
	if err := os.Mkdir(last, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tr.replace(); err == nil {
		t.Fatal("a file has replaced a directory")
	}
	if len(tree(t, dir)) < 4 {
		t.Error("nothing was replaced, so there is nothing to undo")
	}
	if err := errors.Join(tr.undo(), os.Remove(last)); err != nil {
		t.Error(err)
	}
	if after := tree(t, dir); !maps.Equal(before, after) {
		t.Errorf("there is %q, want %q", after, before)
	}
}
