// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"path/filepath"
	"testing"
)

// fake is a machine whose files are the given ones, by name.
func fake(t *testing.T, contents map[string]string) *Machine {
	t.Helper()
	m, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	m.files = files(t.TempDir())
	for name, text := range contents {
		write(t, m, name, text)
	}
	return m
}

func write(t *testing.T, m *Machine, name, text string) {
	t.Helper()
	path := m.files.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// remove removes a file or folder. Its number is not used again.
func remove(t *testing.T, m *Machine, name string) {
	t.Helper()
	if err := os.Rename(m.files.path(name), filepath.Join(t.TempDir(), "gone")); err != nil {
		t.Fatal(err)
	}
}
