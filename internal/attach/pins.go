// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Pins is a directory of a BPF file system in which collectors go on counting
// after the process that started them has ended, for the next to adopt:
//
//	COLLECTOR/IDENTITY/map-MAP
//	                   program-PROGRAM
//	                   link-PROGRAM             or, for events of perf,
//	                   link-PROGRAM-CPU-PERIOD  one for each CPU
//	                   objects/ID-PIN/          the kernel's id of each of these
//	                   module-LOAD/
//	                   complete/
//
// What is pinned under a name but has another id than is listed is not adopted:
// somebody put it there. Events of perf are not listed.
//
// LOAD numbers the load of the module that the programs are attached to; where
// another is loaded by now, the maps are adopted alone. The last is made when
// all else is there, and is the first to be removed: what lacks it was left by
// a process that was killed, and is worth nothing. Its time is when the
// collector began to count, on the boot clock: nobody sets that.
type Pins struct {
	dir string
}

const complete = "complete"

// ErrNoPins means that there is no BPF file system at the place of a directory
// of pins.
var ErrNoPins = errors.New("there is no BPF file system: mount -t bpf -o mode=0700 bpf /sys/fs/bpf")

// OpenPins makes the directory, whose parent is in a BPF file system, if it is
// not there yet. If there is no BPF file system, the error is [ErrNoPins]. A
// directory where others can put something is an error, too.
func OpenPins(dir string) (*Pins, error) {
	dir = filepath.Clean(dir)
	var at unix.Statfs_t
	err := unix.Statfs(dir, &at)
	if errors.Is(err, os.ErrNotExist) {
		err = unix.Statfs(filepath.Dir(dir), &at)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a BPF file system at %s: %w", dir, err)
	}
	if at.Type != unix.BPF_FS_MAGIC {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoPins)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("making the directory of pins: %w", err)
	}
	if err := checkOwn(dir); err != nil {
		return nil, err
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return nil, fmt.Errorf("writing to %s: %w", dir, err)
	}
	return &Pins{dir: dir}, nil
}

// checkOwn fails if others than this user and root can change what is in a
// directory. In a BPF file system that is mounted without a mode everyone may
// make directories and links, and what is below is adopted, and removed.
func checkOwn(dir string) error {
	var at unix.Stat_t
	if err := unix.Lstat(dir, &at); err != nil {
		return fmt.Errorf("looking at the directory of pins: %w", err)
	}
	switch {
	case at.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is no directory", dir)
	case at.Uid != 0 && int(at.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d: what is there need not be kernscope's", dir, at.Uid)
	case at.Mode&0o022 != 0:
		return fmt.Errorf("%s can be written to by others: what is there need not be kernscope's", dir)
	}
	return nil
}

// of returns the directory in which the collector of an identity is pinned.
func (p *Pins) of(collector, identity string) string {
	return filepath.Join(p.dir, collector, identity)
}

// Remove removes what collectors have pinned, all if none is named, also what
// other versions of kernscope left. Programs that no process uses are detached
// with it. Nothing there is no error. Remove returns what it removed.
func (p *Pins) Remove(collectors ...string) (removed []Removed, err error) {
	all := len(collectors) == 0
	if all {
		entries, err := os.ReadDir(p.dir)
		if err != nil {
			return nil, fmt.Errorf("listing pins: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() {
				collectors = append(collectors, e.Name())
			}
		}
	}
	for _, name := range collectors {
		found, err := p.remove(name)
		if err != nil {
			return removed, err
		}
		if found {
			removed = append(removed, Removed{name, p.inUse(name)})
		}
		if err := removeEmpty(filepath.Join(p.dir, name)); err != nil {
			return removed, err
		}
	}
	if all {
		return removed, removeEmpty(p.dir)
	}
	return removed, nil
}

// Removed is a collector whose pins were removed. InUse means that a process counts on with what was
// pinned, which ends with it.
type Removed struct {
	Collector string
	InUse     bool
}

// inUse reports whether another process has taken what a collector has pinned.
func (p *Pins) inUse(collector string) bool {
	taken, err := p.take(collector)
	if err == nil {
		taken.Close()
	}
	return errors.Is(err, errTaken)
}

// removeEmpty removes a directory that is there, unless something else uses it:
// there is something in it, or on it.
func removeEmpty(dir string) error {
	err := unix.Rmdir(dir)
	for _, fine := range []error{os.ErrNotExist, unix.ENOTEMPTY, unix.EBUSY} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return nil
}

// remove removes what one collector has pinned, under any identity, and says
// whether there was anything. What has no name that we give stays.
func (p *Pins) remove(collector string) (found bool, err error) {
	dir := filepath.Join(p.dir, collector)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("listing pins: %w", err)
	}
	for _, e := range entries {
		if !isIdentity(e) {
			continue
		}
		found = true
		pinned := filepath.Join(dir, e.Name())
		if err := removeEmpty(filepath.Join(pinned, complete)); err != nil {
			return found, err
		}
		if err := os.RemoveAll(pinned); err != nil {
			return found, fmt.Errorf("removing pins: %w", err)
		}
	}
	return found, nil
}

func isIdentity(e fs.DirEntry) bool {
	raw, err := hex.DecodeString(e.Name())
	return e.IsDir() && err == nil && len(raw) == identityBytes
}

// errTaken is why a collector's pins cannot be taken.
var errTaken = errors.New("another process uses")

// take keeps other processes from adopting or replacing what the collector has
// pinned, until what it returns is closed: counts are moved between rows, and
// CPUs followed, by one process.
func (p *Pins) take(collector string) (io.Closer, error) {
	name := filepath.Join(p.dir, collector)
	if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("making a directory for pins: %w", err)
	}
	dir, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening a directory of pins: %w", err)
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w %s", errTaken, name)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// Names of pins. The file system allows no dots, which C's names have not, but
// those of the sections of variables do.
func mapPin(name string) string     { return "map-" + strings.ReplaceAll(name, ".", "-") }
func programPin(name string) string { return "program-" + name }
func linkPin(name string) string    { return "link-" + name }
func modulePin(load uint64) string  { return fmt.Sprintf("module-%d", load) }

// modulePins matches those of all loads.
const modulePins = "module-*"
