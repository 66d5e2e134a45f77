// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// hierarchy is the folder of a cgroup hierarchy's root.
type hierarchy string

// openHierarchy finds the hierarchy of a controller of version 1, or version 2
// if it is "". In a VM it mounts one that is not there. False means that this
// kernel or machine has none.
func openHierarchy(t *testing.T, controller string) (hierarchy, bool) {
	t.Helper()
	mounts, err := procfs.GetMounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		_, controls := m.SuperOptions[controller]
		if controller == "" && m.FSType == "cgroup2" || m.FSType == "cgroup" && controls {
			return hierarchy(m.MountPoint), true
		}
	}
	if kerneltest.Kernel() == "" || controller == "" {
		return "", false
	}
	point := t.TempDir()
	err = unix.Mount("none", point, "cgroup", 0, controller)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return "", false // compiled without version 1 of the controller
	}
	if err != nil {
		t.Fatal("mounting a hierarchy:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(point, 0); err != nil {
			t.Error("unmounting a hierarchy:", err)
		}
	})
	return hierarchy(point), true
}

// enter moves this process to a cgroup, by its path.
func (h hierarchy) enter(t *testing.T, path string) {
	t.Helper()
	file := filepath.Join(string(h), path, "cgroup.procs")
	if err := os.WriteFile(file, fmt.Append(nil, os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// leave moves this process to the root until the test ends.
func (h hierarchy) leave(t *testing.T, controller string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); f[1] == controller {
			t.Cleanup(func() { h.enter(t, f[2]) })
		}
	}
	h.enter(t, "/")
}

func (h hierarchy) make(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(string(h), path), 0o755); err != nil {
		t.Fatal(err)
	}
}

// remove removes a cgroup and all below it. A thread that is about to end stays
// where it is until it has.
func (h hierarchy) remove(t *testing.T, path string) {
	t.Helper()
	var folders []string
	err := filepath.WalkDir(filepath.Join(string(h), path), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := len(folders) - 1; i >= 0; i-- {
		kerneltest.Until(t, folders[i]+" is removed", func() error { return unix.Rmdir(folders[i]) })
	}
}
