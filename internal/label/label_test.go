// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"testing"
)

// field returns n as a key member of size bytes, in the kernel's byte order.
func field(t *testing.T, n uint64, size int) []byte {
	t.Helper()
	switch size {
	case 1:
		return []byte{byte(n)}
	case 2:
		return binary.NativeEndian.AppendUint16(nil, uint16(n))
	case 4:
		return binary.NativeEndian.AppendUint32(nil, uint32(n))
	case 8:
		return binary.NativeEndian.AppendUint64(nil, n)
	}
	t.Fatalf("no field has %d bytes", size)
	return nil
}

type numberCase struct {
	n    uint64
	want string
}

// testNumbers checks a decoder of numbers with key members of 4 and 8 bytes.
func testNumbers(t *testing.T, d Decoder, cases []numberCase) {
	t.Helper()
	for _, c := range cases {
		for _, size := range []int{4, 8} {
			if size == 4 && c.n>>32 != 0 {
				continue
			}
			if got := d.Label(field(t, c.n, size)); got != c.want {
				t.Errorf("label of %d in %d bytes is %q, want %q", c.n, size, got, c.want)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		raw  []byte
		want string
	}{
		{field(t, 0, 1), "0"},
		{field(t, 200, 1), "200"},
		{field(t, 0x1234, 2), "4660"},
		{field(t, 1<<31, 4), "2147483648"},
		{field(t, 1<<64-1, 8), "18446744073709551615"},
		{[]byte{1, 0xab, 3}, "0x01ab03"},
		{nil, "0x"},
	} {
		if got := Number().Label(c.raw); got != c.want {
			t.Errorf("label of %v is %q, want %q", c.raw, got, c.want)
		}
	}
}

func TestErrno(t *testing.T) {
	testNumbers(t, Errno(), []numberCase{
		{0, "other"},
		{1, "EPERM"},
		{2, "ENOENT"},
		{11, "EAGAIN"},
		{35, "EDEADLK"},
		{38, "ENOSYS"},
		{41, "errno_41"}, // a gap: EWOULDBLOCK would have this number
		{95, "EOPNOTSUPP"},
		{110, "ETIMEDOUT"},
		{117, "EUCLEAN"},
		{512, "ERESTARTSYS"},
		{516, "ERESTART_RESTARTBLOCK"},
		{524, "ENOTSUPP"},
		{4095, "errno_4095"},
		{1<<64 - 2, "errno_18446744073709551614"},
	})
}
