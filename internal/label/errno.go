// SPDX-License-Identifier: Apache-2.0

package label

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Errno names a positive error number: "ENOENT". A number without a name reads
// "errno_N"; no error is 0, so that is the reserved row and reads [Other].
func Errno() Decoder {
	return numeric(errnoName)
}

func errnoName(n uint64) string {
	switch n {
	case 0:
		return Other
	// Two numbers have newer second names; we keep what strace and perror say.
	case uint64(unix.EOPNOTSUPP):
		return "EOPNOTSUPP"
	case uint64(unix.EUCLEAN):
		return "EUCLEAN"
	// Of include/linux/errno.h, what a system call may return inside the
	// kernel: the first four ask to be restarted after a signal, and never
	// reach the program as such.
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
