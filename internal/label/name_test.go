// SPDX-License-Identifier: Apache-2.0

package label

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	long := strings.Repeat("a", maxName)
	for _, c := range []struct{ name, want string }{
		{"", ""},
		{"postgres", "postgres"},
		{"größe 日本 🙂", "größe 日本 🙂"},
		{"gr\xc3", `gr\xc3`}, // cut in the middle of a character
		{"\xff\xfe", `\xff\xfe`},
		{"\uFFFD", "\uFFFD"}, // the replacement character itself is text
		{"a\nb\x7f", `a\x0ab\x7f`},
		{"a\u2028b\u202ec\u00a0", `a\xe2\x80\xa8b\xe2\x80\xaec\xc2\xa0`},
		{`a\b`, `a\b`},
		{`C:\x`, `C:\x`},
		{`web\x2d1`, `web\x2d1`}, // as systemd writes it
		{`\xff`, `\x5cxff`},
		{`\xFF`, `\xFF`},
		{`\x5cxff`, `\x5cx5cxff`},
		{"other", `\x6fther`},
		{"gone", `\x67one`},
		{`\x6fther`, `\x5cx6fther`},
		{"others", "others"},
		{"Other", "Other"},
		{long, long},
		{long + "a", long[:keptOfName] + "…02d7160d77e18c6447be80c2e355c7ed"},
		{long + "b", long[:keptOfName] + "…9cf5069a5f9910c7ad091acbf3813ad2"},
	} {
		if got := Name(c.name); got != c.want {
			t.Errorf("value of %q is %q, want %q", c.name, got, c.want)
		}
	}
}

// original returns the name that has a value, by the rules that Name documents. It returns false if
// the value is cut, or is no name's.
func original(value string) (string, bool) {
	if len(value) > maxName || slices.Contains(reserved, value) {
		return "", false
	}
	var name strings.Builder
	for value != "" {
		if looksEscaped(value) {
			c, err := strconv.ParseUint(value[2:4], 16, 8)
			if err != nil {
				return "", false
			}
			name.WriteByte(byte(c))
			value = value[4:]
			continue
		}
		name.WriteByte(value[0])
		value = value[1:]
	}
	return name.String(), true
}

// FuzzName checks that every name has a value that Prometheus takes and that nothing else has.
func FuzzName(f *testing.F) {
	for _, name := range []string{
		"", "postgres", "other", "gone", `\x6fther`, "\xff", `\xff`, `\\xff`, `\x5cx5c`, "\\\xff", "a\nb", "\u2028", "größe", "\xc3",
		strings.Repeat("\xff", 64), strings.Repeat("\U0010ffff", 16), strings.Repeat("a", maxName) + "\n",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		value := Name(name)
		if !utf8.ValidString(value) || slices.Contains(reserved, value) {
			t.Errorf("value of %q is %q", name, value)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("value of %q is %q, which cannot be printed", name, value)
		}
		if back, whole := original(value); whole && back != name {
			t.Errorf("value of %q is %q, which is that of %q", name, value, back)
		} else if !whole && len(value) <= maxName {
			t.Errorf("value of %q is %q, which is cut to %d bytes", name, value, len(value))
		}
		if len(value) > keptOfName+len("…")+32 {
			t.Errorf("value of %q has %d bytes", name, len(value))
		}
	})
}

// TestOnlyOverflowReadsOther checks that no number has a reserved value but that of the overflow
// row, and no value that another number of its decoder has.
func TestOnlyOverflowReadsOther(t *testing.T) {
	for name, d := range map[string]Decoder{
		"Number": Number(), "Errno": Errno(), "Syscall": Syscall(), "CompatSyscall": CompatSyscall(),
	} {
		numbers := make(map[string]uint64)
		for n := range uint64(1 << 16) {
			value := d.Label(field(t, n, 4))
			if slices.Contains(reserved, value) && (name != "Errno" || n != 0) || Name(value) != value && value != Other {
				t.Errorf("%s: %d reads %q", name, n, value)
			}
			if other, twice := numbers[value]; twice {
				t.Errorf("%s: %d and %d both read %q", name, other, n, value)
			}
			numbers[value] = n
		}
	}
}
