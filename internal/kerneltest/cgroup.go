// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

// LeaveCgroups moves this process to the root of every hierarchy of cgroups until
// the test ends: there, no share of a table bounds what it adds.
func LeaveCgroups(t testing.TB) {
	t.Helper()
	mounts, err := procfs.GetMounts()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	enter := func(path string) {
		if err := os.WriteFile(filepath.Join(path, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		at := slices.IndexFunc(mounts, func(m *procfs.MountInfo) bool {
			_, controls := m.SuperOptions[f[1]]
			return f[0] == "0" && m.FSType == "cgroup2" || f[0] != "0" && m.FSType == "cgroup" && controls
		})
		if f[2] == "/" || at < 0 {
			continue
		}
		enter(mounts[at].MountPoint)
		t.Cleanup(func() { enter(filepath.Join(mounts[at].MountPoint, f[2])) })
	}
}
