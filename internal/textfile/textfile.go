// SPDX-License-Identifier: Apache-2.0

// Package textfile writes metrics to files that node_exporter's textfile
// collector serves. A file is there whole or not at all: it is written beside
// the old one and takes its place.
package textfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// unfinished is what the names of files begin with that are not written yet.
// node_exporter reads what ends in ".prom".
const unfinished = ".kernscope-"

// Directory is a textfile directory that this process alone writes to, as far
// as other kernscopes go.
type Directory struct {
	path   string
	locked *os.File
}

// Open takes possession of a directory and removes what a killed process may
// have left unfinished. It fails if the directory is not there, cannot be
// written to, or another kernscope has it.
func Open(path string) (*Directory, error) {
	locked, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the textfile directory: %w", err)
	}
	d := &Directory{path: path, locked: locked}
	if err := d.take(); err != nil {
		locked.Close()
		return nil, err
	}
	return d, nil
}

func (d *Directory) take() error {
	err := unix.Flock(int(d.locked.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("another kernscope is writing to %s", d.path)
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", d.path, err)
	}
	if err := unix.Access(d.path, unix.W_OK); err != nil {
		return fmt.Errorf("writing to %s: %w", d.path, err)
	}
	entries, err := d.locked.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("listing %s: %w", d.path, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unfinished) {
			continue
		}
		if err := os.Remove(filepath.Join(d.path, e.Name())); err != nil {
			return fmt.Errorf("removing an unfinished file: %w", err)
		}
	}
	return nil
}

// Close lets another process have the directory.
func (d *Directory) Close() error { return d.locked.Close() }

// Write makes the text the content of a file that everyone may read. If that
// fails, the file is as it was.
func (d *Directory) Write(name string, text []byte) error {
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

func finish(f *os.File, text []byte, path string) error {
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	// The name must not be on the disk before the content is.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Remove removes a file. That it is not there is no error.
func (d *Directory) Remove(name string) error {
	err := os.Remove(filepath.Join(d.path, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a file that is out of date: %w", err)
	}
	return nil
}
