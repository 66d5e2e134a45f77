// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"slices"
	"testing"
)

// FuzzParse checks that any text is refused or a list of capabilities, which reads the same again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"cap_bpf,CAP_PERFMON", " bpf , perfmon", "none", "all", "", ",", "cap_\xff", "39", "cap_39"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse(text)
		if err != nil {
			return
		}
		for _, name := range list {
			again, err := Parse(name)
			if err != nil || !slices.Equal(again, []string{name}) {
				t.Errorf("%q has %q, which is %q: %v", text, name, again, err)
			}
		}
	})
}
