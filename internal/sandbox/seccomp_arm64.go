// SPDX-License-Identifier: Apache-2.0

package sandbox

import "golang.org/x/sys/unix"

// machine is how the kernel names the calling convention of this machine.
const machine = unix.AUDIT_ARCH_AARCH64

// ofMachine are the system calls that only this machine has, or has by another
// name.
var ofMachine = []uintptr{unix.SYS_FSTATAT}
