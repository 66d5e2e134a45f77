// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
)

func TestTouched(t *testing.T) {
	p := pkg{folders: folders(module + "collector\t" + module + "collector/diskio [" + module + "collector/diskio.test]\tbytes\t" + module + "internal/kit")}
	for _, tt := range []struct {
		file string
		want bool
	}{
		{"collector/diskio/disk_test.go", true},
		{"collector/diskio/diskio_bpfel.o", true},
		{"collector/diskio/README.md", false},
		{"collector/collector.go", true},
		{"collector/syscall/syscall.go", false},
		{"internal/kit/testdata/golden/a.yml", true},
		{"internal/engine/engine.go", false},
		{"bytes/bytes.go", false},
		{"docs/ACCURACY.md", false},
		{"deploy/prometheus/rules.yml", false},
		{"go.mod", true},
		{"test/vm/guest/init", true},
	} {
		if got := p.touched([]string{"LICENSE", tt.file}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.file, got, tt.want)
		}
	}
}

// TestTurns checks that every package has its turn on every kernel once in
// three, and that at each turn every kernel has a third of them.
func TestTurns(t *testing.T) {
	const kernels, packages = 4, 17
	for turn := range 5 {
		for k := range kernels {
			due := 0
			for p := range packages {
				if hasTurn(k, p, turn) {
					due++
				}
				n := 0
				for later := range turns {
					if hasTurn(k, p, turn+later) {
						n++
					}
				}
				if n != 1 {
					t.Errorf("package %d has %d turns on kernel %d in three from %d", p, n, k, turn)
				}
			}
			if due < packages/turns || due > packages/turns+1 {
				t.Errorf("%d of %d packages are due on kernel %d at turn %d", due, packages, k, turn)
			}
		}
	}
}
