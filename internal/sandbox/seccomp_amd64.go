// SPDX-License-Identifier: Apache-2.0

package sandbox

import "golang.org/x/sys/unix"

// machine is how the kernel names the calling convention of this machine. The
// one of 32-bit pointers (x32) has the same name, and numbers that no list has.
const machine = unix.AUDIT_ARCH_X86_64

// ofMachine are the system calls that only this machine has.
var ofMachine = []uintptr{unix.SYS_NEWFSTATAT, unix.SYS_ARCH_PRCTL, unix.SYS_TIME, unix.SYS_EPOLL_WAIT, unix.SYS_POLL}
