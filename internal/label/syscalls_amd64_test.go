// SPDX-License-Identifier: Apache-2.0

package label

import "testing"

func TestSyscallAMD64(t *testing.T) {
	testNumbers(t, Syscall(), []numberCase{
		{0, "read"},
		{2, "open"},
		{5, "fstat"},
		{156, "_sysctl"},
		{262, "newfstatat"},
		{336, "uprobe"},
		{337, "sys_337"},
		{423, "sys_423"},
		{424, "pidfd_send_signal"},
	})
}

func TestCompatSyscallI386(t *testing.T) {
	testNumbers(t, CompatSyscall(), []numberCase{
		{0, "restart_syscall"},
		{3, "read"},
		{52, "umount2"},
		{82, "select"},
		{140, "_llseek"},
		{142, "_newselect"},
		{180, "pread64"},
		{285, "sys_285"},
		{403, "clock_gettime64"},
	})
}
