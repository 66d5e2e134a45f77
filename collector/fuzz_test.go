// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"testing"
	"time"
)

// FuzzOption checks that any text is refused or becomes a value of the option's type.
func FuzzOption(f *testing.F) {
	for _, text := range []string{"true", "-3", "9223372036854775808", "250us", "-1h", "a,b, c", "\xff,\x00", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, def := range []Value{nil, true, 5, time.Second, "text", []string{"a"}, 3.5} {
			o := Option{Name: "it", Default: def}
			value, err := o.Parse(text)
			if err != nil {
				continue
			}
			if err := o.Check(value); err != nil {
				t.Errorf("%q became %#v: %v", text, value, err)
			}
			IsOn(value)
		}
	})
}
