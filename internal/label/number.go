// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// Other is the label value of an overflow row, which counts what found its map full. The programs
// give an overflow row the key of zeros, unless zero means something else.
const Other = "other"

// Number returns a decoder that writes an unsigned integer in decimal.
func Number() Decoder {
	return numeric(func(n uint64) string { return strconv.FormatUint(n, 10) })
}

// numeric is a decoder of unsigned integers of 1, 2, 4 or 8 bytes. A key member of any other size
// is not a number, so its label value is its bytes in hexadecimal.
type numeric func(n uint64) string

func (f numeric) Label(raw []byte) string {
	switch len(raw) {
	case 1:
		return f(uint64(raw[0]))
	case 2:
		return f(uint64(binary.NativeEndian.Uint16(raw)))
	case 4:
		return f(uint64(binary.NativeEndian.Uint32(raw)))
	case 8:
		return f(binary.NativeEndian.Uint64(raw))
	}
	return "0x" + hex.EncodeToString(raw)
}
