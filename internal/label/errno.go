// SPDX-License-Identifier: Apache-2.0

package label

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Errno returns a decoder that names a positive error number: "ENOENT". A number without a name
// reads "errno_N". No error has the number 0, so that is the overflow row, [Other].
func Errno() Decoder {
	return numeric(errnoName)
}

func errnoName(n uint64) string {
	switch n {
	case 0:
		return Other
	// Two numbers have a second, newer name. The decoder uses the name that strace and perror use.
	case uint64(unix.EOPNOTSUPP):
		return "EOPNOTSUPP"
	case uint64(unix.EUCLEAN):
		return "EUCLEAN"
	// These are from include/linux/errno.h: a system call may return them inside the kernel. The
	// first four ask the kernel to restart the call after a signal, and never reach the program.
	case 512:
		return "ERESTARTSYS"
	case 513:
		return "ERESTARTNOINTR"
	case 514:
		return "ERESTARTNOHAND"
	case 516:
		return "ERESTART_RESTARTBLOCK"
	case 515:
		return "ENOIOCTLCMD"
	case 524:
		return "ENOTSUPP"
	}
	if name := unix.ErrnoName(unix.Errno(n)); name != "" {
		return name
	}
	return "errno_" + strconv.FormatUint(n, 10)
}
