// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// cgroupMount is a place where a hierarchy is mounted.
type cgroupMount struct {
	point string
	// root is the cgroup that is mounted there, as a path in the hierarchy.
	root string
}

// whole reports whether the mount shows the whole hierarchy. Then the inode number of its root is
// 1.
func (m cgroupMount) whole() bool { return inode(m.point) == 1 }

// walk calls found for each cgroup that has one of the ids, and removes the id from ids. It reports
// whether it could look everywhere. It does not miss a cgroup that exists during the whole walk,
// unless somebody renames the cgroup meanwhile, which only version 1 allows.
func (m cgroupMount) walk(ids map[uint64]bool, found func(id uint64, directory, path string)) (everywhere bool) {
	var root unix.Stat_t
	everywhere = unix.Stat(m.point, &root) == nil
	err := filepath.WalkDir(m.point, func(directory string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			return nil
		}
		var at unix.Stat_t
		if err == nil {
			err = unix.Stat(directory, &at)
		}
		if err != nil {
			// Only a folder that has vanished meanwhile hides nothing. A path may be too long, too.
			everywhere = everywhere && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV))
			return nil
		}
		if at.Dev != root.Dev { // something else is mounted over a part of the hierarchy
			everywhere = false
			return fs.SkipDir
		}
		if id := at.Ino; ids[id] {
			delete(ids, id)
			found(id, directory, path.Join("/", m.root, directory[len(m.point):]))
			if len(ids) == 0 {
				return fs.SkipAll
			}
		}
		return nil
	})
	return everywhere && err == nil
}

// cgroupMounts returns a mount for each hierarchy. If a hierarchy has several mounts, it returns
// one that shows the whole hierarchy, if there is one.
func cgroupMounts(proc string) map[uint32]cgroupMount {
	mounts := make(map[uint32]cgroupMount)
	for hierarchy, found := range listCgroupMounts(proc) {
		mounts[hierarchy] = found[0]
		for _, m := range found {
			if m.whole() {
				mounts[hierarchy] = m
				break
			}
		}
	}
	return mounts
}

// CgroupFolders returns where the hierarchies of cgroups are mounted that a process file system
// lists: that need not be below /sys.
func CgroupFolders(proc string) (folders []string) {
	for _, mounts := range listCgroupMounts(proc) {
		for _, m := range mounts {
			folders = append(folders, m.point)
		}
	}
	return folders
}

// listCgroupMounts returns all mounts of each hierarchy that /proc lists.
func listCgroupMounts(proc string) map[uint32][]cgroupMount {
	hierarchies, err := os.ReadFile(filepath.Join(proc, "self", "cgroup"))
	if err != nil {
		return nil
	}
	mounted, err := os.ReadFile(filepath.Join(proc, "self", "mountinfo"))
	if err != nil {
		return nil
	}
	mounts := parseMounts(string(mounted))
	list := make(map[uint32][]cgroupMount)
	for number, option := range parseHierarchies(string(hierarchies)) {
		for _, m := range mounts {
			is := m.kind == "cgroup2"
			if number != 0 {
				is = m.kind == "cgroup" && slices.Contains(m.options, option)
			}
			if is && m.inSight() {
				list[number] = append(list[number], cgroupMount{m.point, m.root})
			}
		}
	}
	return list
}

// inSight reports whether nothing else is mounted over a mount. If something else were, a walk
// would see that instead, and every cgroup would look stale.
func (m mount) inSight() bool {
	var at unix.Stat_t
	if unix.Stat(m.point, &at) != nil {
		return false
	}
	return m.device == fmt.Sprintf("%d:%d", unix.Major(at.Dev), unix.Minor(at.Dev))
}
