// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStrangersLocks locks what any user may open: the directory, and the files in it.
func TestStrangersLocks(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := errors.Join(d.Write("x.prom", nil), d.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, filepath.Join(path, "x.prom")} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			t.Fatal(err)
		}
	}
	d = open(t, path)
	if err := d.Write("x.prom", nil); err != nil {
		t.Error(err)
	}
	lock, err := os.Stat(filepath.Join(path, lockName))
	if err != nil {
		t.Fatal(err)
	}
	if lock.Mode() != 0o600 {
		t.Errorf("others may open, and lock, the file of mode %v", lock.Mode())
	}
}

// TestLockLeavesNothing ends in order, and is killed: then the file stays, and the next takes it.
func TestLockLeavesNothing(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(path, lockName)
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock stays: %v", err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	if err := os.Remove(name); err != nil { // by a user who tidies
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestOthersThingsInTheLocksPlace expects an error that names the file, and that nothing is
// followed, waited for or removed.
func TestOthersThingsInTheLocksPlace(t *testing.T) {
	for how, put := range map[string]func(path string) error{
		"folder":    func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"readable":  func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o644)) },
		"of others": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 65534, 0)) },
		"link":      func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), "target"), path) },
		"hard link": func(path string) error {
			other := filepath.Join(filepath.Dir(path), "other")
			return errors.Join(os.WriteFile(other, nil, 0o600), os.Link(other, path))
		},
	} {
		path := t.TempDir()
		name := filepath.Join(path, lockName)
		if err := put(name); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", how, err)
		}
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if _, err := os.Lstat(filepath.Join(path, "target")); err == nil {
			t.Errorf("%s was followed", how)
		}
	}
}

// TestOneAtATime opens and closes the directory from many goroutines: no two have it.
func TestOneAtATime(t *testing.T) {
	path := t.TempDir()
	var inside, times atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				d, err := Open(path)
				if err != nil {
					if !strings.Contains(err.Error(), "another kernscope") {
						t.Error(err)
					}
					continue
				}
				if inside.Add(1) != 1 {
					t.Error("two have locked the directory")
				}
				times.Add(1)
				inside.Add(-1)
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if times.Load() == 0 {
		t.Error("nobody had the directory")
	}
}
