// SPDX-License-Identifier: Apache-2.0

package label

import "bytes"

// String returns a decoder that reads a C string, such as a thread's name, up to its NUL or the end
// of the key member, and returns its [Name].
func String() Decoder {
	return cString{}
}

type cString struct{}

func (cString) Label(raw []byte) string {
	name, _, _ := bytes.Cut(raw, []byte{0})
	return Name(string(name))
}
