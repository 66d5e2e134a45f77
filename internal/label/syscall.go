// SPDX-License-Identifier: Apache-2.0

package label

import (
	"slices"
	"strconv"
)

//go:generate go run ../gen/syscalls

// Syscall returns a decoder that names a system call of the machine's native ABI by its number, as
// the kernel's headers do. A number without a name reads "sys_N".
func Syscall() Decoder {
	return syscalls(nativeSyscalls[:])
}

// CompatSyscall returns a decoder that names a system call of a 32-bit program: i386 on amd64, ARM
// EABI on arm64.
func CompatSyscall() Decoder {
	return syscalls(compatSyscalls[:])
}

// SyscallNumber returns the number of a system call of the machine's native ABI. It returns false
// if there is no call of that name.
func SyscallNumber(name string) (uint32, bool) { return number(nativeSyscalls[:], name) }

// CompatSyscallNumber returns the number of a system call for 32-bit programs. It returns false if
// there is no call of that name.
func CompatSyscallNumber(name string) (uint32, bool) { return number(compatSyscalls[:], name) }

func number(names []string, name string) (uint32, bool) {
	if name == "" { // the table has it at numbers that no call has
		return 0, false
	}
	i := slices.Index(names, name)
	return uint32(max(i, 0)), i >= 0
}

func syscalls(names []string) Decoder {
	return numeric(func(n uint64) string {
		if n < uint64(len(names)) && names[n] != "" {
			return names[n]
		}
		return "sys_" + strconv.FormatUint(n, 10)
	})
}
