// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sys/unix"
)

// Cgroups returns the machine's cgroups, of both versions, by the struct cgroup_key of
// bpf/cgroup.bpf.h. Their label "cgroup" is a readable name. Their label "container" is empty
// outside of containers. A cgroup that this process cannot see reads "id:N".
//
// The names come from walks through the cgroup file systems. If a file system is mounted as a
// whole, a cgroup that a walk does not find is stale. If only a part is mounted, as in a container
// that has a cgroup namespace, a cgroup that was never found may be in another part, so it is not
// stale.
func Cgroups() Owners {
	return NewCgroups("/proc")
}

// NewCgroups returns [Cgroups] for another procfs.
func NewCgroups(proc string) Owners {
	return &cgroups{proc: proc, known: make(map[cgroupKey]*cgroup)}
}

// cgroupKey is struct cgroup_key.
type cgroupKey struct {
	id        uint64
	hierarchy uint32
}

type cgroup struct {
	directory string // "" if no walk has found it
	// unit and container are the values of the labels.
	unit      string
	container string
	ids       shortIDs // in these values
	// unseen says that a walk has not found the cgroup, and could not see the whole hierarchy.
	unseen bool
}

// unnamed precedes the number of a cgroup that has no name.
const unnamed = "id:"

// cgroups is the state between two calls of Look. It knows only the cgroups of the last call.
type cgroups struct {
	proc   string
	known  map[cgroupKey]*cgroup
	rested time.Time // when the next walk may begin
}

// walkShare bounds what walks cost. After a walk, no walk begins for walkShare times as long as it
// took.
const walkShare = 20

func (c *cgroups) Look(raw map[string]bool) map[string]bool {
	asked := make(map[cgroupKey]*cgroup, len(raw))
	missing := make(map[cgroupKey]bool)
	for r := range raw {
		key, ok := parseCgroupKey(r)
		if !ok {
			continue
		}
		one := c.known[key]
		if one == nil {
			one = new(cgroup)
		}
		asked[key] = one
		if !one.unseen && inode(one.directory) != key.id {
			missing[key] = true
		}
	}
	c.known = asked
	begin := time.Now()
	if len(missing) == 0 || begin.Before(c.rested) {
		return nil
	}
	gone := c.find(missing)
	end := time.Now()
	c.rested = end.Add(walkShare * end.Sub(begin))
	found := make(map[string]bool)
	for r := range raw {
		if key, ok := parseCgroupKey(r); ok && gone[key] {
			found[r] = true
		}
	}
	return found
}

// find walks through the hierarchies of the missing cgroups, and returns those that are stale: the
// walk would have found them if they existed.
func (c *cgroups) find(missing map[cgroupKey]bool) (gone map[cgroupKey]bool) {
	wanted := make(map[uint32]map[uint64]bool)
	for key := range missing {
		if wanted[key.hierarchy] == nil {
			wanted[key.hierarchy] = make(map[uint64]bool)
		}
		wanted[key.hierarchy][key.id] = true
	}
	containers := make(shortIDs)
	for _, one := range c.known {
		maps.Copy(containers, one.ids)
	}
	gone = make(map[cgroupKey]bool)
	mounts := cgroupMounts(c.proc)
	for hierarchy, ids := range wanted {
		mount, ok := mounts[hierarchy]
		ok = ok && mount.walk(ids, func(id uint64, directory, path string) {
			one := c.known[cgroupKey{id, hierarchy}]
			one.directory = directory
			one.unit, one.container = containers.name(path)
			one.ids = containers.within(path)
		})
		for id := range ids { // the walk has removed those that it found
			key := cgroupKey{id, hierarchy}
			one := c.known[key]
			gone[key] = ok && (mount.whole() || one.directory != "")
			one.unseen = ok && !gone[key]
		}
	}
	return gone
}

func (c *cgroups) Label(name, raw string) string {
	key, ok := parseCgroupKey(raw)
	one := c.known[key]
	if !ok || one == nil || one.unit == "" {
		if name == "container" {
			return ""
		}
		return fmt.Sprint(unnamed, key.id)
	}
	if name == "container" {
		return one.container
	}
	return one.unit
}

// parseCgroupKey reads a struct cgroup_key. It returns false if raw is not one.
func parseCgroupKey(raw string) (cgroupKey, bool) {
	if len(raw) != 12 {
		return cgroupKey{}, false
	}
	b := []byte(raw)
	return cgroupKey{binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint32(b[8:])}, true
}

// inode returns the inode number of a folder, or 0 if the folder does not exist.
func inode(folder string) uint64 {
	var stat unix.Stat_t
	if unix.Lstat(folder, &stat) != nil {
		return 0
	}
	return stat.Ino
}
