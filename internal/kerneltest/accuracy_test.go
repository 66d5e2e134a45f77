// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// complaints is a test that counts its errors.
type complaints struct {
	testing.TB
	errors int
}

func (c *complaints) Errorf(string, ...any) { c.errors++ }

// TestAccuracy checks that what agrees is recorded, and that what does not, or
// is not explained, is an error.
func TestAccuracy(t *testing.T) {
	row := Row{Metric: "m", Workload: "w", Source: "s"}
	between := func(why string) Truth[uint64] {
		return Truth[uint64]{Least: 5, Most: 7, Below: 2, Above: 1, Why: why}
	}
	for _, tt := range []struct {
		name    string
		compare func(t testing.TB)
		want    string // in the record, "" is an error
	}{
		{"equal", func(t testing.TB) { Accuracy(t, row, 7, Exactly(7)) }, `"Counted":7,"Least":7,"Most":7,"Why":""`},
		{"unequal", func(t testing.TB) { Accuracy(t, row, 6, Exactly(7)) }, ""},
		{"lowest", func(t testing.TB) { Accuracy(t, row, 3, between("Because.")) }, `"Counted":3,"Least":5,"Most":7,"Why":"Because."`},
		{"too low", func(t testing.TB) { Accuracy(t, row, 2, between("Because.")) }, ""},
		{"highest", func(t testing.TB) { Accuracy(t, row, 8, between("Because.")) }, `"Counted":8`},
		{"too high", func(t testing.TB) { Accuracy(t, row, 9, between("Because.")) }, ""},
		{"not explained", func(t testing.TB) { Accuracy(t, row, 6, between("")) }, ""},
		{"less than nothing allowed", func(t testing.TB) {
			Accuracy(t, row, 0, Truth[uint64]{Least: 1, Most: 1, Below: 2, Why: "Because."})
		}, `"Counted":0`},
		{"a time", func(t testing.TB) { Accuracy(t, row, 250*time.Millisecond, Exactly(250*time.Millisecond)) }, `"Time":true,"Compared":true,"Counted":0.25,`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := t.TempDir()
			t.Setenv("KERNSCOPE_OUT", out)
			c := &complaints{TB: t}
			tt.compare(c)
			raw, err := os.ReadFile(filepath.Join(out, AccuracyFile))
			if tt.want == "" {
				if c.errors != 1 || !os.IsNotExist(err) {
					t.Errorf("%d errors, want one; recorded %q", c.errors, raw)
				}
				return
			}
			if c.errors != 0 || !strings.Contains(string(raw), tt.want) || !strings.Contains(string(raw), `"Test":"TestAccuracy"`) {
				t.Errorf("%d errors, recorded %q (%v), want %q", c.errors, raw, err, tt.want)
			}
		})
	}
}
