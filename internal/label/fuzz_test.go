// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDisks checks that a disk has a label whatever sysfs says of it, and that it is not stale unless
// sysfs gives its place to another.
func FuzzDisks(f *testing.F) {
	f.Add("sda", "7\n", uint64(7))
	f.Add("cciss!c0d0", "", uint64(0))
	f.Add("other", "18446744073709551615", uint64(1<<64-1))
	f.Add("\xff", "-1\n", uint64(1))
	sysfs := f.TempDir()
	f.Fuzz(func(t *testing.T, name, number string, disk uint64) {
		folder := filepath.Join(sysfs, "block")
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/:\x00") {
			return // no driver names a disk so
		}
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name, "diskseq"), []byte(number), 0o600); err != nil {
			t.Fatal(err)
		}
		raw := string(binary.NativeEndian.AppendUint64(nil, disk))
		d := NewDisks(sysfs)
		gone := d.Look(map[string]bool{raw: true})
		value := d.Label("device", raw)
		want := Gone
		switch _, there := d.(*disks).names[disk]; {
		case there:
			want = Name(strings.ReplaceAll(name, "!", "/"))
		case d.(*disks).names == nil && disk != diskInode: // the number is none
			want = fmt.Sprintf("id:%d", disk&^diskInode)
		}
		if value != want || !utf8.ValidString(value) || gone[raw] {
			t.Errorf("%q with number %q reads %q, want %q; stale %v", name, number, value, want, gone[raw])
		}
	})
}

// FuzzDecoders checks that any bytes of a key have a label, which is not that of an overflow row
// unless they are zero.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte{1, 2})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(append(make([]byte, 10), 0xff, 0xff, 10, 1, 2, 3, 128, 0, 0, 0))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, d := range []Decoder{Number(), Errno(), Syscall(), CompatSyscall(), Prefix(), String()} {
			value := d.Label(raw)
			zero := slices.Max(append(raw, 0)) == 0
			if !utf8.ValidString(value) || slices.Contains(reserved, value) && !zero {
				t.Errorf("%T: %q reads %q", d, raw, value)
			}
		}
	})
}
