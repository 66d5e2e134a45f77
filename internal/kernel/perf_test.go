// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"slices"
	"testing"
)

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{
		"0":         {0},
		"0-3":       {0, 1, 2, 3},
		"0,2-3,7-7": {0, 2, 3, 7},
		"1,128-129": {1, 128, 129},
		"":          nil,
		"0-":        nil,
		"0-1,x":     nil,
	} {
		got, err := parseCPUs(list)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%q: %v, %v; want %v", list, got, err, want)
		}
	}
}
