// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"slices"
	"testing"
)

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{
		"0":           {0},
		"0-3":         {0, 1, 2, 3},
		"0,2-3,7-7":   {0, 2, 3, 7},
		"1,128-129":   {1, 128, 129},
		"":            nil,
		"0-":          nil,
		"0-1,x":       nil,
		"2-1":         nil,
		"1,0":         nil,
		"0-3,3":       nil,
		"-1":          nil,
		"0-999999999": nil,
	} {
		got, err := parseCPUs(list)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%q: %v, %v; want %v", list, got, err, want)
		}
	}
}

func TestOnlineCPUs(t *testing.T) {
	m := fake(t, map[string]string{
		cpuFolder + "/online":                   "1-2\n",
		cpuFolder + "/present":                  "0-4\n",
		cpuFolder + "/cpu0/topology/package_id": "0\n",
		cpuFolder + "/cpu1/online":              "1\n",
		cpuFolder + "/cpu2/online":              "1\n",
		cpuFolder + "/cpu3/online":              "0\n",
	})
	for _, step := range []struct {
		list string
		want []int
	}{
		{"0-2\n", []int{0, 1, 2}}, // the kernel's own
		{"1\n", []int{0, 1, 2}},   // what lxcfs shows a container
		{"2\n", []int{0, 1, 2}},
	} {
		write(t, m, cpuFolder+"/online", step.list)
		got, err := m.files.onlineCPUs()
		if err != nil || !slices.Equal(got, step.want) {
			t.Errorf("%q: %v, %v; want %v", step.list, got, err, step.want)
		}
	}
}
