// SPDX-License-Identifier: Apache-2.0

package label

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reserved are the label values that stand for something else than a name.
var reserved = []string{Other, Gone}

const (
	// maxName is the longest value that is not cut, in bytes. No name of a file is longer.
	maxName = 255
	// keptOfName is how much of a longer value is kept, up to the last whole character. With what is
	// appended, it is longer than any value that is not cut.
	keptOfName = 240
)

// Name returns the label value of a name that somebody else has chosen, such as a thread's or a
// cgroup's. Different names have different values, and no name has a reserved value:
//
//   - A byte that is not part of a printable UTF-8 character reads \xHH.
//   - So does a backslash that would otherwise look like the beginning of such an escape.
//   - So does the first byte of a name that equals a reserved value: "other" reads "\x6fther".
//   - A value of more than 255 bytes is cut after 240. An ellipsis and the first 32 hexadecimal
//     digits of the name's SHA-256 take the place of the rest.
//
// Only the bytes of these rules are ever escaped. So "\x2d" is no escape, but four characters of
// the name, as systemd writes them.
func Name(name string) string {
	taken := slices.Contains(reserved, name)
	if !taken && len(name) <= maxName && strings.IndexFunc(name, isSpecial) < 0 {
		return name
	}
	var value strings.Builder
	kept := 0
	for i, size := 0, 0; i < len(name); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(name[i:])
		isText := unicode.IsPrint(r) && (r != utf8.RuneError || size > 1)
		if isText && !looksEscaped(name[i:]) && (i > 0 || !taken) {
			value.WriteString(name[i:][:size])
		} else {
			for _, c := range []byte(name[i:][:size]) {
				fmt.Fprintf(&value, `\x%02x`, c)
			}
		}
		if value.Len() <= keptOfName {
			kept = value.Len()
		}
	}
	if value.Len() <= maxName {
		return value.String()
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s…%x", value.String()[:kept], sum[:16])
}

// isSpecial reports whether Name may have to escape the character.
func isSpecial(r rune) bool { return r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r) }

// looksEscaped reports whether a text begins like an escape that Name writes.
func looksEscaped(text string) bool {
	if len(text) < 4 || text[:2] != `\x` || strings.ToLower(text[2:4]) != text[2:4] {
		return false
	}
	c, err := strconv.ParseUint(text[2:4], 16, 8)
	return err == nil && (c < ' ' || c >= 0x7f || c == '\\' || slices.ContainsFunc(reserved, func(value string) bool { return value[0] == byte(c) }))
}
