// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupsIn returns Cgroups that look at a test's folders: version 2, and controllers of version 1
// as hierarchy 7. Neither hierarchy is seen as a whole, because the inode number of its root is not
// 1.
func cgroupsIn(t *testing.T) (c *cgroups, v2, v1 string) {
	t.Helper()
	dir := t.TempDir()
	v2, v1 = filepath.Join(dir, "unified"), filepath.Join(dir, "pids")
	self := filepath.Join(dir, "proc", "4711")
	for _, d := range []string{v2, v1, self} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var at unix.Stat_t
	if err := unix.Stat(dir, &at); err != nil {
		t.Fatal(err)
	}
	device := fmt.Sprintf("%d:%d", unix.Major(at.Dev), unix.Minor(at.Dev))
	for name, text := range map[string]string{
		"cgroup": "9::/odd\n7:hugetlb,pids:/\n1:name=systemd:/\n0::/\n",
		"mountinfo": fmt.Sprintf("22 1 0:20 / /proc rw - proc proc rw\n"+
			"30 1 %s / %s rw,relatime shared:9 - cgroup cgroup rw,hugetlb,pids\n"+
			"31 1 %s /tenant %s rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n", device, v1, device, v2),
	} {
		if err := os.WriteFile(filepath.Join(self, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("4711", filepath.Join(dir, "proc", "self")); err != nil {
		t.Fatal(err)
	}
	return NewCgroups(filepath.Join(dir, "proc")).(*cgroups), v2, v1
}

func fieldOf(hierarchy uint32, id uint64) string {
	return string(binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint64(nil, id), hierarchy))
}

func makeCgroup(t *testing.T, hierarchy uint32, path ...string) (field, directory string) {
	t.Helper()
	directory = filepath.Join(path...)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	return fieldOf(hierarchy, inode(directory)), directory
}

// look calls Look, even if the last walk has just ended.
func look(c *cgroups, fields ...string) map[string]bool {
	c.rested = time.Time{}
	asked := make(map[string]bool)
	for _, f := range fields {
		asked[f] = true
	}
	return c.Look(asked)
}

func TestCgroups(t *testing.T) {
	c, v2, v1 := cgroupsIn(t)
	service, directory := makeCgroup(t, 0, v2, "system.slice", "nginx.service")
	job, _ := makeCgroup(t, 7, v1, "lxc", "web")
	elsewhere := fieldOf(7, inode(directory)) // an id that only the other hierarchy has
	plain, _ := makeCgroup(t, 0, v2, "jobs")

	expect := func(field, cgroup, container string) {
		t.Helper()
		if got := c.Label("cgroup", field); got != cgroup {
			t.Errorf("cgroup %q, want %q", got, cgroup)
		}
		if got := c.Label("container", field); got != container {
			t.Errorf("container %q, want %q", got, container)
		}
	}
	if gone := look(c, service, job, elsewhere, plain); len(gone) > 0 {
		t.Errorf("%v are gone", gone)
	}
	expect(service, "tenant/nginx.service", "") // below what is mounted
	expect(job, "lxc/web", "web")
	expect(elsewhere, fmt.Sprintf("id:%d", inode(directory)), "")
	expect(plain, "tenant/jobs", "")

	// A cgroup that was found and has vanished is stale. One that was never found may be where this
	// process cannot see it.
	if err := os.Remove(directory); err != nil {
		t.Fatal(err)
	}
	if gone := look(c, service, job, elsewhere); len(gone) != 1 || !gone[service] {
		t.Errorf("%v are gone, want %q", gone, service)
	}
	expect(job, "lxc/web", "web")

	// Look finds a renamed cgroup again.
	if err := os.Rename(filepath.Join(v1, "lxc", "web"), filepath.Join(v1, "lxc", "shop")); err != nil {
		t.Fatal(err)
	}
	if gone := look(c, job); len(gone) > 0 {
		t.Errorf("%v are gone", gone)
	}
	expect(job, "lxc/shop", "shop")
	if len(c.known) != 1 {
		t.Errorf("%d cgroups are remembered after one was asked for", len(c.known))
	}
}

// TestCgroupsRest checks that no walk begins too soon after another. Until the next walk, a new
// cgroup has no name, and one that vanished keeps its name.
func TestCgroupsRest(t *testing.T) {
	c, v2, _ := cgroupsIn(t)
	old, directory := makeCgroup(t, 0, v2, "old")
	look(c, old)
	fresh, _ := makeCgroup(t, 0, v2, "fresh")
	if err := os.Remove(directory); err != nil {
		t.Fatal(err)
	}
	if !c.rested.After(time.Now().Add(-time.Hour)) {
		t.Error("the walk was for free")
	}
	c.rested = time.Now().Add(time.Hour)
	if gone := c.Look(map[string]bool{old: true, fresh: true}); len(gone) > 0 {
		t.Errorf("%v are gone", gone)
	}
	if got := c.Label("cgroup", old); got != "tenant/old" {
		t.Errorf("the old one reads %q", got)
	}
	if got := c.Label("cgroup", fresh); got != fmt.Sprintf("id:%d", binary.NativeEndian.Uint64([]byte(fresh))) {
		t.Errorf("the fresh one reads %q", got)
	}
	if gone := look(c, old, fresh); len(gone) != 1 || !gone[old] {
		t.Errorf("%v are gone, want %q", gone, old)
	}
	if got := c.Label("cgroup", fresh); got != "tenant/fresh" {
		t.Errorf("the fresh one reads %q", got)
	}
}

// TestCgroupsOutOfSight checks that no cgroup is stale where another file system is mounted over
// the cgroups.
func TestCgroupsOutOfSight(t *testing.T) {
	c, v2, _ := cgroupsIn(t)
	field, directory := makeCgroup(t, 0, v2, "service")
	look(c, field)
	mounts := filepath.Join(c.proc, "self", "mountinfo")
	text := fmt.Sprintf("31 1 0:0 / %s rw,relatime - cgroup2 cgroup2 rw\n", v2)
	if err := os.WriteFile(mounts, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(directory); err != nil {
		t.Fatal(err)
	}
	if gone := look(c, field); len(gone) > 0 {
		t.Errorf("%v are gone", gone)
	}
}

// TestCgroupFolders leaves out a mount over which another file system is mounted.
func TestCgroupFolders(t *testing.T) {
	c, v2, v1 := cgroupsIn(t)
	got := CgroupFolders(c.proc)
	slices.Sort(got)
	if want := []string{v1, v2}; !slices.Equal(got, want) {
		t.Errorf("folders %q, want %q", got, want)
	}
	text := fmt.Sprintf("31 1 0:0 / %s rw,relatime - cgroup2 cgroup2 rw\n", v2)
	if err := os.WriteFile(filepath.Join(c.proc, "self", "mountinfo"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := CgroupFolders(c.proc); len(got) > 0 {
		t.Errorf("folders %q are out of sight", got)
	}
}

// TestCgroupsUnmounted checks that no cgroup is known, and none is stale, if no cgroup can be seen.
func TestCgroupsUnmounted(t *testing.T) {
	c := NewCgroups(t.TempDir()).(*cgroups)
	field := fieldOf(0, 4711)
	if gone := look(c, field); len(gone) > 0 {
		t.Errorf("%v are gone", gone)
	}
	if got := c.Label("cgroup", field); got != "id:4711" {
		t.Errorf("cgroup %q", got)
	}
}
