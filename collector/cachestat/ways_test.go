// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// way is how the collector sees reads.
type way struct {
	name     string
	programs []string // the first of each way's
	// kernels of the matrix that have it.
	kernels []string
}

var ways = []way{
	{"functions", []string{"cachestat_read_exit", "cachestat_read_exit_old"}, []string{"5.10", "6.1", "6.12", "7.x"}},
	{"tracepoint", []string{"cachestat_get_pages"}, []string{"6.12", "7.x"}},
	{"kprobes", []string{"cachestat_read_end", "cachestat_read_end_old"}, []string{"5.10", "6.1"}},
}

// spec returns the collector's Spec, with this way only.
func (w way) spec() collector.Spec {
	spec := Spec()
	for i, h := range spec.Hooks {
		if h.Name == "read" {
			spec.Hooks[i].Ways = slices.DeleteFunc(h.Ways, func(way collector.Way) bool {
				return !slices.Contains(w.programs, way.Programs[0])
			})
		}
	}
	return spec
}

// only returns the spec, with nothing counted but the file system of a path:
// what others do elsewhere does not disturb a test.
func (w way) only(t testing.TB, path string) collector.Spec {
	t.Helper()
	spec := w.spec()
	load, device := spec.Load, deviceOf(t, path)
	spec.Load = func() (*ebpf.CollectionSpec, error) {
		obj, err := load()
		if err == nil {
			err = obj.Variables["cachestat_only"].Set(device)
		}
		return obj, err
	}
	return spec
}

// deviceOf returns the number that the kernel has for the file system of a
// path. stat(2) has another with btrfs.
func deviceOf(t testing.TB, path string) uint32 {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var longest string
	var major, minor uint32
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if at := fields[4]; strings.HasPrefix(path, at) && len(at) > len(longest) {
			longest = at
			if _, err := fmt.Sscanf(fields[2], "%d:%d", &major, &minor); err != nil {
				t.Fatal(line, err)
			}
		}
	}
	return major<<20 | minor
}

// waysHere returns those that this kernel has: in the matrix, that it should
// have. Kprobes do not see splice() since Linux 6.5; they are never taken
// there.
func waysHere(t *testing.T) []way {
	t.Helper()
	machine := kerneltest.Open(t)
	here := slices.DeleteFunc(slices.Clone(ways), func(w way) bool {
		if name := kerneltest.Kernel(); name != "" {
			return !slices.Contains(w.kernels, name)
		}
		obj, err := loadCachestat()
		if err != nil {
			t.Fatal(err)
		}
		splice := machine.Function("filemap_splice_read", "").Answer == kernel.Yes
		return w.name == "kprobes" && splice || !slices.ContainsFunc(w.programs, func(name string) bool {
			return attach.Possible(machine, obj.Programs[name], obj).Answer == kernel.Yes
		})
	})
	if len(here) == 0 {
		t.Fatal("this kernel has no way to see reads")
	}
	return here
}
