// SPDX-License-Identifier: Apache-2.0

package label

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSyscall(t *testing.T) {
	testNumbers(t, Syscall(), []numberCase{
		{unix.SYS_READ, "read"},
		{unix.SYS_OPENAT, "openat"},
		{unix.SYS_NEWFSTATAT, "newfstatat"},
		{unix.SYS_PREAD64, "pread64"},
		{unix.SYS_UMOUNT2, "umount2"},
		{unix.SYS_IO_URING_ENTER, "io_uring_enter"},
		{unix.SYS_CACHESTAT, "cachestat"},
		{400, "sys_400"}, // between the numbers of the architecture and the common ones
		{uint64(len(nativeSyscalls)), "sys_" + strconv.Itoa(len(nativeSyscalls))},
		{1<<30 | unix.SYS_READ, "sys_" + strconv.Itoa(1<<30|unix.SYS_READ)}, // x32 on amd64
		{1<<32 - 1, "sys_4294967295"},
		{1<<64 - 1, "sys_18446744073709551615"},
	})
}

func TestSyscallNumber(t *testing.T) {
	for number, name := range nativeSyscalls {
		if name == "" {
			continue
		}
		if got, ok := SyscallNumber(name); !ok || got != uint32(number) {
			t.Errorf("number of %s is %d, %t, want %d", name, got, ok, number)
		}
	}
	for _, name := range []string{"", "READ", "sys_0", "no_such_call"} {
		if got, ok := SyscallNumber(name); ok || got != 0 {
			t.Errorf("number of %q is %d, %t, want none", name, got, ok)
		}
	}
}

// TestSyscallNamesAreUnique checks that no two numbers have one name: a family
// would have duplicates.
func TestSyscallNamesAreUnique(t *testing.T) {
	for table, names := range map[string][]string{"native": nativeSyscalls[:], "compat": compatSyscalls[:]} {
		seen := make(map[string]int)
		for number, name := range names {
			if name == "" {
				continue
			}
			if other, ok := seen[name]; ok {
				t.Errorf("%s: %d and %d are both %s", table, other, number, name)
			}
			seen[name] = number
		}
		if len(seen) < 300 {
			t.Errorf("%s: only %d names", table, len(seen))
		}
	}
}
