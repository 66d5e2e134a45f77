// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

func TestOpenPins(t *testing.T) {
	if _, err := attach.OpenPins(filepath.Join(t.TempDir(), "kernscope")); !errors.Is(err, attach.ErrNoPins) {
		t.Errorf("on a common file system: %v", err)
	}
	fs := kerneltest.BPFFS(t)
	if _, err := attach.OpenPins(filepath.Join(fs, "a", "b")); err == nil || errors.Is(err, attach.ErrNoPins) {
		t.Errorf("without the parent: %v", err)
	}
	// What is not ours stays.
	dir := filepath.Join(fs, "kernscope")
	pins, err := attach.OpenPins(dir)
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "others", "globals", "complete")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := pins.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("what others have pinned: %v", err)
	}
}

// TestPinsWhereOthersCanWrite has directories in which another user may have
// put a link to a folder that root would clear.
func TestPinsWhereOthersCanWrite(t *testing.T) {
	fs := kerneltest.BPFFS(t) // where everyone may
	path := func(name string) string { return filepath.Join(fs, name) }
	for _, name := range []string{"foreign", "group", "own"} {
		if err := os.Mkdir(path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Chown(path("foreign"), 65534, 65534),
		os.Chmod(path("group"), 0o775),
		os.Symlink(path("own"), path("link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, refused := range []string{fs, path("foreign"), path("group"), path("link"), path("link") + "/"} {
		if _, err := attach.OpenPins(refused); err == nil || errors.Is(err, attach.ErrNoPins) {
			t.Errorf("%s: %v", refused, err)
		}
	}
	if _, err := attach.OpenPins(path("own") + "/"); err != nil {
		t.Error(err)
	}
}
