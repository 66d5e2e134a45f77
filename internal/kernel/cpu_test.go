// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"maps"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A CPU is on if the kernel shows its topology, whatever lists say, and each time
// has a number of its own.
func TestOnlineCPUs(t *testing.T) {
	m := fake(t, map[string]string{
		cpuFolder + "/online":                    "1\n",
		cpuFolder + "/present":                   "0-1\n",
		cpuFolder + "/cpufreq/policy0/related":   "0\n",
		cpuFolder + "/cpu0/topology/package_id":  "0\n",
		cpuFolder + "/cpu1/online":               "0\n",
		cpuFolder + "/cpu12/topology/package_id": "0\n",
		cpuFolder + "/cpu12/online":              "0\n",
		cpuFolder + "/cpu3/online":               "1\n",
	})
	first, known := m.files.onlineCPUs()
	if !known || !slices.Equal(slices.Sorted(maps.Keys(first)), []int{0, 12}) {
		t.Fatalf("%v, %v", first, known)
	}
	remove(t, m, cpuFolder+"/cpu12/topology")
	if on, known := m.files.onlineCPUs(); !known || !slices.Equal(slices.Collect(maps.Keys(on)), []int{0}) {
		t.Errorf("one went off: %v, %v", on, known)
	}
	write(t, m, cpuFolder+"/cpu12/topology/package_id", "0\n")
	if on, known := m.files.onlineCPUs(); !known || len(on) != 2 || on[12] == first[12] || on[0] != first[0] {
		t.Errorf("it came on again: %v, %v; at first %v", on, known, first)
	}
}

// What is mounted over the kernel's files is not believed, at whatever depth.
func TestOnlineCPUsOfOthers(t *testing.T) {
	if f := fake(t, nil).Access(); f.Answer != Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
	for _, over := range []string{cpuFolder, cpuFolder + "/cpu0", cpuFolder + "/cpu1/topology"} {
		m := fake(t, map[string]string{
			cpuFolder + "/cpu0/topology/package_id": "0\n",
			cpuFolder + "/cpu1/topology/package_id": "0\n",
		})
		if on, known := m.files.onlineCPUs(); !known || len(on) != 2 {
			t.Fatalf("%v, %v", on, known)
		}
		at := m.files.path(over)
		if err := unix.Mount("none", at, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		on, known := m.files.onlineCPUs()
		if known {
			t.Errorf("over %s: %v", over, on)
		}
		if err := unix.Unmount(at, 0); err != nil {
			t.Fatal(err)
		}
	}
	empty := fake(t, map[string]string{cpuFolder + "/online": "0-1\n"})
	if on, known := empty.files.onlineCPUs(); known {
		t.Errorf("no CPU is shown, and %v are on", on)
	}
}

// The kernel's number of CPUs is found without the file.
func TestPossibleCPUs(t *testing.T) {
	if f := fake(t, nil).Access(); f.Answer != Yes {
		t.Skip("no-bpf: " + f.Reason)
	}
	got, err := possibleCPUs()
	if want := ebpf.MustPossibleCPU(); err != nil || got != want {
		t.Errorf("%d CPUs, %v; the file has %d", got, err, want)
	}
}
