// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStaleFilesGo(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"prometheus/old.yml", "prometheus/below/old.yml", "prometheus/kernscope.yml", "by-hand/kept.yml"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"prometheus/old.yml":       "gone",
		"prometheus/below/old.yml": "gone",
		"prometheus/kernscope.yml": "new",
		"by-hand/kept.yml":         "old",
	} {
		got := "new"
		switch text, err := os.ReadFile(filepath.Join(root, name)); {
		case os.IsNotExist(err):
			got = "gone"
		case err != nil:
			t.Fatal(err)
		case string(text) == "old":
			got = "old"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
