// SPDX-License-Identifier: Apache-2.0

package label

import "testing"

func TestString(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"", ""},
		{"\x00garbage", ""},
		{"postgres\x00\x00\x00", "postgres"},
		{"pg_dump\x00leftover", "pg_dump"},
		{"sixteen bytes ok", "sixteen bytes ok"},
		{"kworker/0:1H\x00", "kworker/0:1H"},
		{"gr\xc3\x00\xb6", `gr\xc3`},
		{"other\x00", `\x6fther`},
		{"gone\x00", `\x67one`},
		{"\x01\n\x00", `\x01\x0a`},
	} {
		if got := String().Label([]byte(c.raw)); got != c.want {
			t.Errorf("label of %q is %q, want %q", c.raw, got, c.want)
		}
	}
}
