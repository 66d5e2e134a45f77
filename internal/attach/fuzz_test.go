// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"strings"
	"testing"
)

// FuzzPeriod checks that the name of a pin is refused or names a period: whoever may write to the
// directory of pins chooses what is there.
func FuzzPeriod(f *testing.F) {
	for _, text := range []string{"0-1", "3-18446744073709551615", "-1-5", "0", "0-", "0-1-2", "\xff-0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePeriod(text)
		if err != nil {
			return
		}
		again, err := parsePeriod(strings.TrimPrefix((&everyCPU{}).pin(p), "-"))
		if err != nil || again != p {
			t.Errorf("%q is %+v, whose pin is %+v: %v", text, p, again, err)
		}
	})
}
