// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

func TestPrefix(t *testing.T) {
	for _, tt := range []struct {
		address string
		bits    uint32
		want    string
	}{
		{"::ffff:10.1.2.3", 128, "10.1.2.3"},
		{"::ffff:10.1.2.0", 120, "10.1.2.0/24"},
		{"::ffff:10.0.0.0", 104, "10.0.0.0/8"},
		{"::ffff:0.0.0.0", 128, "0.0.0.0"},
		{"::ffff:0.0.0.0", 120, "0.0.0.0/24"},
		{"::ffff:0.0.0.0", 96, "0.0.0.0/0"},
		{"::ffff:0.0.0.0", 80, "::ffff:0.0.0.0/80"},
		{"2001:db8::1", 128, "2001:db8::1"},
		{"2001:db8:0:ff00::", 56, "2001:db8:0:ff00::/56"},
		{"fe80::", 10, "fe80::/10"},
		{"::1", 128, "::1"},
		{"::", 128, "::"},
		{"::", 56, "::/56"},
		{"::", 0, "other"},
		{"2001:db8::1", 1000, "2001:db8::1"},
	} {
		raw := netip.MustParseAddr(tt.address).As16()
		if got := Prefix().Label(binary.NativeEndian.AppendUint32(raw[:], tt.bits)); got != tt.want {
			t.Errorf("label of %d bits of %s is %q, want %q", tt.bits, tt.address, got, tt.want)
		}
	}
	if got := Prefix().Label([]byte{1, 2}); got != "0x0102" {
		t.Errorf("label of two bytes is %q", got)
	}
}
