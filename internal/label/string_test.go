// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestString(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"", "other"},
		{"\x00garbage", "other"},
		{"postgres\x00\x00\x00", "postgres"},
		{"pg_dump\x00leftover", "pg_dump"},
		{"sixteen bytes ok", "sixteen bytes ok"},
		{"kworker/0:1H\x00", "kworker/0:1H"},
		{"größe\x00", "größe"},
		{"gr\xc3\x00", `gr\xc3`}, // cut in the middle of a character
		{"\xff\xfe\x00", `\xff\xfe`},
		{"\uFFFD\x00", "\uFFFD"}, // the replacement character itself is valid
		{`a\b` + "\x00", `a\x5cb`},
		{`\xff` + "\x00", `\x5cxff`},
		{"other\x00", `\x6fther`},
		{`\x6fther` + "\x00", `\x5cx6fther`},
		{"others\x00", "others"},
		{" \n\x00", " \n"},
	} {
		if got := String().Label([]byte(c.raw)); got != c.want {
			t.Errorf("label of %q is %q, want %q", c.raw, got, c.want)
		}
	}
}

// Different strings must become different label values, because a family must not have duplicates.
// Every label value must be UTF-8, because the scrape fails otherwise.
func FuzzStringIsInjective(f *testing.F) {
	f.Add([]byte("\xff"), []byte(`\xff`))
	f.Add([]byte(`\`), []byte(`\x5c`))
	f.Add([]byte(""), []byte("other"))
	f.Add([]byte("other"), []byte(`\x6fther`))
	f.Add([]byte("\xc3\xb6"), []byte("\xc3"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		la, lb := String().Label(a), String().Label(b)
		if !utf8.ValidString(la) || la == "" || strings.ContainsRune(la, 0) {
			t.Errorf("label of %q is %q, which is no label", a, la)
		}
		comm := func(raw []byte) string { before, _, _ := bytes.Cut(raw, []byte{0}); return string(before) }
		if (la == lb) != (comm(a) == comm(b)) {
			t.Errorf("labels of %q and %q are %q and %q", a, b, la, lb)
		}
	})
}
