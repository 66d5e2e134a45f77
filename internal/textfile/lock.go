// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// lockName is the name of the file that a process locks while it writes to the directory. Whoever
// may read the directory could lock the directory itself, and keep kernscope out.
const lockName = ".kernscope.lock"

// lock returns the locked file of a path, which only this user can open. The error says so if
// another process has locked it.
func lock(path string) (*os.File, error) {
	for {
		// Without O_NONBLOCK, a FIFO could stop the process.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		held, err := hold(f, path)
		if held {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// hold locks an open file, and reports whether that is the lock of the path. It is not if another
// process removed the file in between, which each does when it ends.
func hold(f *os.File, path string) (bool, error) {
	var opened, named unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &opened); err != nil {
		return false, fmt.Errorf("looking at %s: %w", path, err)
	}
	if opened.Mode&unix.S_IFMT != unix.S_IFREG || int(opened.Uid) != os.Geteuid() || opened.Mode&0o077 != 0 || opened.Nlink > 1 {
		return false, fmt.Errorf("%s is not a lock that kernscope made, and others may hold it: remove it", path)
	}
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, fmt.Errorf("another kernscope has locked %s", path)
	}
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", path, err)
	}
	err = unix.Lstat(path, &named)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking at %s: %w", path, err)
	}
	return err == nil && named.Ino == opened.Ino && named.Dev == opened.Dev, nil
}

// unlock removes the file and lets go of its lock, in this order: a process that locks the file
// next finds that the path does not have it any more.
func unlock(f *os.File) error {
	err := os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
