// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// String returns a decoder that reads a C string, such as a process's comm, up to its NUL or the
// end of the key member. The empty string is a name as well.
//
// A label value must be UTF-8, but a comm may be any bytes, cut anywhere. Two comms must not become
// one label value. So the decoder writes every byte that is not UTF-8, and every backslash, as
// \xHH. It does the same with the first byte of a comm that reads "other" or "gone".
func String() Decoder {
	return cString{}
}

type cString struct{}

func (cString) Label(raw []byte) string {
	if end := bytes.IndexByte(raw, 0); end >= 0 {
		raw = raw[:end]
	}
	switch {
	case string(raw) == Other, string(raw) == Gone:
		return fmt.Sprintf(`\x%02x%s`, raw[0], raw[1:])
	case utf8.Valid(raw) && bytes.IndexByte(raw, '\\') < 0:
		return string(raw)
	}
	var b strings.Builder
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		if r == '\\' || r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, raw[0])
		} else {
			b.Write(raw[:size])
		}
		raw = raw[size:]
	}
	return b.String()
}
