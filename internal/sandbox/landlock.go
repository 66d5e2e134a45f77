// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// canRestrict returns why Landlock is not to be had; nil if it is.
func canRestrict() error {
	_, err := ll.LandlockGetABIVersion()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSYS):
		return errors.New("the kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, since Linux 5.13)")
	case errors.Is(err, unix.EOPNOTSUPP):
		return errors.New("the kernel did not switch Landlock on at boot (parameter lsm=)")
	}
	return fmt.Errorf("asking for Landlock: %w", err)
}

// restrictFiles forbids, as far as this kernel can, all use of files but the
// plan's, and to connect or bind TCP and UDP sockets.
func restrictFiles(p Plan) error {
	if err := canRestrict(); err != nil {
		return err
	}
	config := landlock.V11
	// What the process may signal is its user's matter, and systemd may be
	// listening on an abstract socket.
	config.Scoped = 0
	return config.BestEffort().Restrict(p.rules()...)
}

// rules returns what the plan permits.
func (p Plan) rules() []landlock.Rule {
	read := []string{
		"/proc", "/sys",
		"/lib/modules",   // which modules are part of the kernel
		"/run/udev/data", // what arrays of disks are called
	}
	read = append(read, p.Read...)
	rules := []landlock.Rule{
		landlock.PathAccess(ll.AccessFSReadFile|ll.AccessFSReadDir, folders(read)...).IgnoreIfMissing(),
		landlock.PathAccess(ll.AccessFSReadFile, files(read)...).IgnoreIfMissing(),
		landlock.PathAccess(ll.AccessFSReadFile|ll.AccessFSReadDir|ll.AccessFSMakeReg|ll.AccessFSMakeDir|
			ll.AccessFSRemoveFile|ll.AccessFSRemoveDir, folders(p.Change)...).IgnoreIfMissing(),
		landlock.PathAccess(ll.AccessFSRemoveFile, folders(p.Remove)...).IgnoreIfMissing(),
		landlock.PathAccess(ll.AccessFSReadFile|ll.AccessFSWriteFile|ll.AccessFSIoctlDev, files(p.Devices)...).IgnoreIfMissing(),
	}
	return rules
}

// folders returns the paths that are folders, files the others.
func folders(paths []string) []string { return sorted(paths, true) }
func files(paths []string) []string   { return sorted(paths, false) }

func sorted(paths []string, wantFolders bool) (found []string) {
	for _, path := range paths {
		if at, err := os.Stat(path); err == nil && at.IsDir() == wantFolders {
			found = append(found, path)
		}
	}
	return found
}
