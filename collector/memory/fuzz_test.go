// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"strings"
	"testing"
)

// FuzzVmstat checks that any text is refused or has all counts, and that the count of minor faults
// never goes back.
func FuzzVmstat(f *testing.F) {
	f.Add("pgalloc_dma 1\npgalloc_normal 300\npgfault 18446744073709551615\npgmajfault 12\n", "pgalloc_dma 1\npgfault 1\npgmajfault 3\n")
	f.Add("pgfault 18446744073709551616\n", "pgfault\npgfault \npgalloc_")
	f.Fuzz(func(t *testing.T, text, next string) {
		var minor minorFaults
		var before uint64
		for _, text := range []string{text, next} {
			v, err := parseVmstat(strings.NewReader(text))
			if err != nil {
				continue
			}
			if !strings.Contains(text, "pgfault ") || !strings.Contains(text, "pgmajfault ") || !strings.Contains(text, "pgalloc_") {
				t.Errorf("%q: %+v", text, v)
			}
			now := minor.advance(v)
			if now < before {
				t.Errorf("%q: %d minor faults after %d", text, now, before)
			}
			before = now
		}
	})
}
