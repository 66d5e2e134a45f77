// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTextfileLeavesForeignFiles has another tool's file in the place of one
// collector's: that collector is left out, and the others are not.
func TestTextfileLeavesForeignFiles(t *testing.T) {
	p := newPlace(t)
	foreign := filepath.Join(p.files, "schedlat.prom")
	const theirs = "backup_schedlat_bytes 1\n"
	if err := os.WriteFile(foreign, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	kept := func(after string) {
		t.Helper()
		if text, err := os.ReadFile(foreign); err != nil || string(text) != theirs {
			t.Errorf("after %s: %q, %v", after, text, err)
		}
	}
	code, _, stderr := command(t, p.args("fileops", "schedlat")...)
	if last := lastLine(stderr); code != exitFailure || !strings.Contains(last, foreign+": it is not kernscope's") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	kept("a run")
	if _, err := os.Stat(filepath.Join(p.files, "fileops.prom")); err != nil {
		t.Errorf("the other collector's file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(p.pins, "schedlat")); !os.IsNotExist(err) {
		t.Errorf("a collector without a file is pinned: %v", err)
	}
	p.fails(t, exitFailure, []string{foreign}, p.args("schedlat")...)
	p.run(t, "--no-collector.schedlat", "--collector.disable-defaults", "--collector.fileops")
	kept("a run that switches the collector off")
	if log := p.run(t, "--unpin"); !strings.Contains(log, foreign) {
		t.Errorf("the log does not name %s:\n%s", foreign, log)
	}
	kept("--unpin")
	if files, err := os.ReadDir(p.files); err != nil || len(files) != 1 {
		t.Errorf("left: %v, %v", files, err)
	}
}

// TestTextfileThoughStrangersLock locks the directory as any user may.
func TestTextfileThoughStrangersLock(t *testing.T) {
	p := newPlace(t)
	dir, err := os.Open(p.files)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	p.run(t, "fileops", "--no-pin")
	if readFiles(t, p.files)["fileops.prom"] == nil {
		t.Error("nothing was written")
	}
}
