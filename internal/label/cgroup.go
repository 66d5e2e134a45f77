// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Cgroups knows the machine's cgroups, of both versions, by the struct
// cgroup_key of bpf/cgroup.bpf.h. It has the labels "cgroup", a readable name,
// and "container", which is empty outside of containers. A cgroup that cannot
// be seen from here reads "id:N".
//
// Names come from walks through the cgroup file systems. Where these are
// mounted as a whole, a cgroup that is not found is gone. Where only a part is,
// as in a container with a cgroup namespace of its own, what was never found
// may be elsewhere, and stays.
func Cgroups() Owners {
	return NewCgroups("/proc")
}

// NewCgroups is [Cgroups] for a procfs elsewhere.
func NewCgroups(proc string) Owners {
	return &cgroups{proc: proc, known: make(map[cgroupKey]*cgroup)}
}

// cgroupKey is struct cgroup_key.
type cgroupKey struct {
	id        uint64
	hierarchy uint32
}

type cgroup struct {
	directory string // "" if it was not found
	unit      string
	container string
	// unseen says that it was not found where not all can be seen.
	unseen bool
}

// cgroups is the state between two looks: what was asked of last, no more.
type cgroups struct {
	proc   string
	known  map[cgroupKey]*cgroup
	rested time.Time // when the next walk may begin
}

// walkShare bounds what walks cost: after one, there is none for so many times
// as long as it took.
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

// find walks through the hierarchies of the missing, and returns those that
// are not there although they could be seen.
func (c *cgroups) find(missing map[cgroupKey]bool) (gone map[cgroupKey]bool) {
	wanted := make(map[uint32]map[uint64]bool)
	for key := range missing {
		if wanted[key.hierarchy] == nil {
			wanted[key.hierarchy] = make(map[uint64]bool)
		}
		wanted[key.hierarchy][key.id] = true
	}
	gone = make(map[cgroupKey]bool)
	mounts := cgroupMounts(c.proc)
	for hierarchy, ids := range wanted {
		mount, ok := mounts[hierarchy]
		ok = ok && mount.walk(ids, func(id uint64, directory, path string) {
			one := c.known[cgroupKey{id, hierarchy}]
			one.directory = directory
			one.unit, one.container = cgroupName(path)
		})
		for id := range ids { // those that were not found
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
		return fmt.Sprintf("id:%d", key.id)
	}
	if name == "container" {
		return one.container
	}
	return one.unit
}

func parseCgroupKey(raw string) (cgroupKey, bool) {
	if len(raw) != 12 {
		return cgroupKey{}, false
	}
	b := []byte(raw)
	return cgroupKey{binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint32(b[8:])}, true
}

// inode is the inode number of a folder, 0 if there is none.
func inode(folder string) uint64 {
	var stat unix.Stat_t
	if unix.Lstat(folder, &stat) != nil {
		return 0
	}
	return stat.Ino
}
