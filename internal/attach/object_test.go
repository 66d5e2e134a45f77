// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// A value has the bytes of a variable of its size, or is an error.
func TestRawValue(t *testing.T) {
	for _, tt := range []struct {
		value collector.Value
		size  int
		want  uint64
		err   string
	}{
		{true, 1, 1, ""},
		{false, 1, 0, ""},
		{7, 4, 7, ""},
		{-1, 4, 0xffffffff, ""},
		{-1, 8, 0xffffffffffffffff, ""},
		{1 << 31, 4, 1 << 31, ""},
		{1 << 32, 4, 0, "does not fit"},
		{-1<<31 - 1, 4, 0, "does not fit"},
		{256, 1, 0, "does not fit"},
		{5 * time.Millisecond, 8, 5e6, ""},
		{5 * time.Second, 4, 0, "does not fit"},
		{7, 2, 0, "2 bytes"},
		{"text", 8, 0, "has no variable"},
	} {
		got, err := raw(tt.value, tt.size)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%v in %d bytes: error %v, want %q", tt.value, tt.size, err, tt.err)
		}
		if err != nil {
			continue
		}
		n := uint64(got[0])
		switch tt.size {
		case 4:
			n = uint64(binary.NativeEndian.Uint32(got))
		case 8:
			n = binary.NativeEndian.Uint64(got)
		}
		if len(got) != tt.size || n != tt.want {
			t.Errorf("%v in %d bytes is %#x in %d, want %#x", tt.value, tt.size, n, len(got), tt.want)
		}
	}
}

func TestSyscallTable(t *testing.T) {
	v := collector.Variable{Name: "x", Syscalls: map[string]uint8{"read": 2, "no_such_call": 9}}
	table, err := syscallTable(v, 512)
	if err != nil {
		t.Fatal(err)
	}
	read, _ := label.SyscallNumber("read")
	for i, got := range table {
		want := uint8(0)
		if uint32(i) == uint32(read) {
			want = 2
		}
		if got != want {
			t.Errorf("element %d is %d, want %d", i, got, want)
		}
	}
	if _, err := syscallTable(v, int(read)); err == nil || !strings.Contains(err.Error(), "number of read") {
		t.Errorf("error %v of a table that is too short", err)
	}
}
