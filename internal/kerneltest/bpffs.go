// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// BPFFS mounts a BPF file system until the test ends, and returns its folder.
// What is pinned there ends with it.
func BPFFS(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mounting a BPF file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting the BPF file system: %v", err)
		}
	})
	return dir
}
