// SPDX-License-Identifier: Apache-2.0

// Package textfile writes metrics to files that node_exporter's textfile collector serves. A reader
// sees a file whole or not at all: the package writes the new file beside the old one, and then
// replaces it. It touches no file that kernscope did not write.
package textfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// unfinished is the prefix of the names of files that are not complete yet. node_exporter does not
// read them, because it reads only names that end in ".prom".
const unfinished = ".kernscope-"

// Directory is a locked textfile directory: no other kernscope process writes to it.
type Directory struct {
	path   string
	locked *os.File
}

// Open locks a directory and removes unfinished files that a killed process may have left. It fails
// if the directory does not exist, cannot be written to, or another kernscope has locked it.
func Open(path string) (*Directory, error) {
	locked, err := lock(filepath.Join(path, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the textfile directory %s does not exist: create it, or name node_exporter's --collector.textfile.directory with --directory (Debian: /var/lib/prometheus/node-exporter): %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the textfile directory %s: %w", path, err)
	}
	d := &Directory{path: path, locked: locked}
	if err := d.tidy(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// tidy removes unfinished files. What else has such a name, or cannot be removed, is not
// kernscope's and does not keep it from writing.
func (d *Directory) tidy() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("listing %s: %w", d.path, err)
	}
	for _, e := range entries {
		path := filepath.Join(d.path, e.Name())
		var at unix.Stat_t
		if like, _ := filepath.Match(unfinished+"*.prom-*", e.Name()); !like || unix.Lstat(path, &at) != nil {
			continue
		}
		if at.Mode&unix.S_IFMT == unix.S_IFREG && int(at.Uid) == os.Geteuid() {
			_ = os.Remove(path)
		}
	}
	return nil
}

// Close unlocks the directory, so that another process may lock it.
func (d *Directory) Close() error { return unlock(d.locked) }

// Write replaces the content of a file, which everyone may read. If it fails, the file is
// unchanged.
func (d *Directory) Write(name string, text []byte) error {
	if err := d.Check(name); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.path, unfinished+name+"-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Join(d.path, name), err)
	}
	if err := finish(f, text, filepath.Join(d.path, name)); err != nil {
		f.Close()
		return errors.Join(fmt.Errorf("writing %s: %w", filepath.Join(d.path, name), err), os.Remove(f.Name()))
	}
	return nil
}

// finish writes the text to the unfinished file f and renames f to path.
func finish(f *os.File, text []byte, path string) error {
	if _, err := f.WriteString(mark); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	// The content must be on the disk before the name is.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Remove removes a file. It is not an error if the file does not exist.
func (d *Directory) Remove(name string) error {
	if err := d.Check(name); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(d.path, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a file that is out of date: %w", err)
	}
	return nil
}
