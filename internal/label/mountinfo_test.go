// SPDX-License-Identifier: Apache-2.0

package label

import (
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestParseMounts(t *testing.T) {
	const text = `22 1 0:20 / /proc rw,nosuid - proc proc rw
30 22 0:27 /tenant /sys/fs/cgroup ro,relatime shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate
31 22 0:28 / /with\040space\134and\012line rw - cgroup cgroup rw,name=systemd
32 22 0:29 / /mnt rw - tmpfs - rw
33 22 0:30 / /empty rw - tmpfs  rw,size=4k
34 22 0:31 / /no-separator rw tmpfs tmpfs rw
35 22 0:32 / /cut rw - tmpfs
36

`
	want := []mount{
		{"0:20", "/", "/proc", "proc", []string{"rw"}},
		{"0:27", "/tenant", "/sys/fs/cgroup", "cgroup2", []string{"rw", "nsdelegate"}},
		{"0:28", "/", "/with space\\and\nline", "cgroup", []string{"rw", "name=systemd"}},
		{"0:29", "/", "/mnt", "tmpfs", []string{"rw"}},
		{"0:30", "/", "/empty", "tmpfs", []string{"rw", "size=4k"}},
	}
	if got := parseMounts(text); !reflect.DeepEqual(got, want) {
		t.Errorf("mounts are\n%q, want\n%q", got, want)
	}
}

func TestParseHierarchies(t *testing.T) {
	const text = "13:pids:/a:b\n7:cpu,cpuacct:/\n1:name=systemd:/\n5::/x\n0::/../..\nx:pids:/\n-1:memory:/\n4294967296:rdma:/\n8\n9:net_cls\n\n"
	want := map[uint32]string{13: "pids", 7: "cpu", 1: "name=systemd", 0: ""}
	if got := parseHierarchies(text); !maps.Equal(got, want) {
		t.Errorf("hierarchies are %v, want %v", got, want)
	}
}

// FuzzMounts checks that no text makes the parser fail, and that a line which it does not
// understand hides no other.
func FuzzMounts(f *testing.F) {
	if text, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		f.Add(string(text))
	}
	f.Add("32 22 0:29 / /mnt rw - tmpfs - rw\n")
	f.Add("33 22 0:30 / /\\040\\999 rw - -  -")
	f.Fuzz(func(t *testing.T, text string) {
		const line = "30 22 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw"
		mounts := parseMounts(text + "\n" + line)
		if len(mounts) == 0 || mounts[len(mounts)-1].point != "/sys/fs/cgroup" {
			t.Errorf("a mount is missing: %q", mounts)
		}
		if len(mounts) > strings.Count(text, "\n")+2 {
			t.Errorf("%d mounts in %d lines", len(mounts), strings.Count(text, "\n")+2)
		}
	})
}

// FuzzHierarchies checks the same for hierarchies.
func FuzzHierarchies(f *testing.F) {
	f.Add("13:pids:/a:b\n7:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n")
	f.Add("5::/x")
	f.Fuzz(func(t *testing.T, text string) {
		hierarchies := parseHierarchies(text + "\n4294967295:pids:/")
		if hierarchies[1<<32-1] != "pids" {
			t.Errorf("a hierarchy is missing: %v", hierarchies)
		}
		for number, option := range hierarchies {
			if number != 0 && option == "" {
				t.Errorf("hierarchy %d has no option", number)
			}
		}
	})
}
