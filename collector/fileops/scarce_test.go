// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestNoMemoryIsNotFull takes the memory away from a table that allocates its rows
// at run time. What finds none is not said to have found the table full, and has
// a row as soon as there is memory again.
func TestNoMemoryIsNotFull(t *testing.T) {
	machine := kerneltest.Open(t)
	if f := machine.Preallocate(); f.Answer != kernel.No {
		t.Log("tables of this kernel have all their memory from the start")
		return
	}
	h, limit, usage := memoryHierarchy(t)
	if h == "" {
		if kerneltest.Kernel() != "" {
			t.Fatal("no hierarchy of cgroups has a controller of memory")
		}
		t.Log("no hierarchy of cgroups has a controller of memory")
		return
	}
	const group = "kernscope-scarce"
	h.make(t, group)
	h.enter(t, group) // the maps' memory is the cgroup's
	e := kerneltest.Run(t, kerneltest.WithRows(Spec(), 20_000))
	h.enter(t, "/")
	t.Cleanup(func() { h.remove(t, group) })
	t.Cleanup(func() { h.write(t, group, limit, unlimited(limit)) })
	used, err := os.ReadFile(filepath.Join(string(h), group, usage))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, group, limit, strings.TrimSpace(string(used)))
	storm, work := kerneltest.Own("s"), kerneltest.Own("w")
	reading(t, 0, storm, 10_000)
	n := kerneltest.Read(t, e)
	lost := func(reason string) int {
		return int(n.Value("kernscope_lost_events_total", "collector=fileops", "reason="+reason))
	}
	names, sum := namesOf(n, storm)
	scarce := lost("no_memory")
	if kerneltest.Kernel() == "6.1" { // it refuses with another error
		scarce += lost("busy")
	}
	if scarce == 0 || lost("map_full") != 0 || sum+lost("no_memory")+lost("busy")+lost("share_full") < 10_000 {
		t.Errorf("%d names have a row; %d calls found no memory, %d the table full, %d a share full, %d the map busy",
			names, lost("no_memory"), lost("map_full"), lost("share_full"), lost("busy"))
	}
	if full := n.Value("kernscope_table_full", "collector=fileops", "table=fileops_calls"); full != 0 {
		t.Error("the table is said to be full")
	}
	h.write(t, group, limit, unlimited(limit))
	kerneltest.Until(t, "names have rows when there is memory", func() error {
		reading(t, 0, work, 100)
		if names, sum := namesOf(kerneltest.Read(t, e), work); names != 100 || sum < 100 {
			return unix.ENOMEM
		}
		return nil
	})
}

// memoryHierarchy finds the hierarchy with the controller of memory, and the names
// of its files of the limit and of what is used.
func memoryHierarchy(t *testing.T) (h hierarchy, limit, usage string) {
	t.Helper()
	if h, ok := openHierarchy(t, "memory"); ok {
		h.leave(t, "memory")
		return h, "memory.limit_in_bytes", "memory.usage_in_bytes"
	}
	h, ok := openHierarchy(t, "")
	if !ok || os.WriteFile(filepath.Join(string(h), "cgroup.subtree_control"), []byte("+memory"), 0o644) != nil {
		return "", "", ""
	}
	h.leave(t, "")
	return h, "memory.max", "memory.current"
}

func unlimited(limit string) string {
	if limit == "memory.max" {
		return "max"
	}
	return "-1"
}

// write writes to a file of a cgroup.
func (h hierarchy) write(t *testing.T, path, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(string(h), path, file), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}
