// SPDX-License-Identifier: Apache-2.0

// Package compat makes system calls the way 32-bit programs do.
package compat

import (
	"os"
	"strings"
)

// Call makes the i386 system call of a number, without arguments, by
// int $0x80. It crashes the program where [Supported] says no.
func Call(number uint32) int32

// Call6 does what [Call] does, with arguments. The runtime takes it for a
// computation: it must not block for long.
func Call6(number uint32, args *[6]uint32) int32

// Supported reports whether the kernel lets 32-bit programs run
// (CONFIG_IA32_EMULATION, unless the command line turns it off).
func Supported() bool {
	if _, err := os.Stat("/proc/sys/abi/vsyscall32"); err != nil {
		return false
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return false
	}
	for _, word := range strings.Fields(string(line)) {
		switch word {
		case "ia32_emulation=0", "ia32_emulation=n", "ia32_emulation=off", "ia32_emulation=false":
			return false
		}
	}
	return true
}
