// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// String reads a C string, such as a process's comm, up to its NUL or the end
// of the field. The empty string is the reserved row and reads [Other].
//
// A label must be UTF-8 and a comm may be any bytes, cut anywhere. So that two
// comms never become one label, every byte that is not UTF-8, and every
// backslash, is written as \xHH; and so is the first byte of a comm that really
// reads "other".
func String() Decoder {
	return cString{}
}

type cString struct{}

func (cString) Label(raw []byte) string {
	if end := bytes.IndexByte(raw, 0); end >= 0 {
		raw = raw[:end]
	}
	switch {
	case len(raw) == 0:
		return Other
	case string(raw) == Other:
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
