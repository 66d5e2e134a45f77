// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
)

// Prefix returns a decoder that writes an IP address, "10.1.2.3", or a network, "10.1.2.0/24". The
// key member is 16 bytes of address in network order, IPv4 as ::ffff:a.b.c.d, and the 32-bit length
// of the prefix. With a length of 128 bits it is an address. The prefix ::/0 is the overflow row,
// [Other].
func Prefix() Decoder {
	return prefix{}
}

type prefix struct{}

func (prefix) Label(raw []byte) string {
	if len(raw) != 20 {
		return "0x" + hex.EncodeToString(raw)
	}
	address := netip.AddrFrom16([16]byte(raw))
	bits := binary.NativeEndian.Uint32(raw[16:])
	if address.IsUnspecified() && bits == 0 {
		return Other
	}
	if bits >= 96 { // a shorter prefix contains more than IPv4
		address = address.Unmap()
	}
	unused := 128 - int(min(bits, 128))
	if unused == 0 {
		return address.String()
	}
	return netip.PrefixFrom(address, address.BitLen()-unused).String()
}
