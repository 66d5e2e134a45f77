// SPDX-License-Identifier: Apache-2.0

package label

import "testing"

func TestSyscallARM64(t *testing.T) {
	testNumbers(t, Syscall(), []numberCase{
		{0, "io_setup"},
		{56, "openat"},
		{63, "read"},
		{79, "newfstatat"},
		{223, "fadvise64"},
		{244, "sys_244"}, // the base of the architecture's own, not a call
		{260, "wait4"},
		{424, "pidfd_send_signal"},
	})
}

func TestCompatSyscallARM(t *testing.T) {
	testNumbers(t, CompatSyscall(), []numberCase{
		{0, "restart_syscall"},
		{3, "read"},
		{7, "sys_7"},
		{140, "_llseek"},
		{341, "arm_sync_file_range"},
		{403, "clock_gettime64"},
		{0xf0002, "sys_983042"}, // ARM's private cacheflush
	})
}
