// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Install writes files by their path in a directory, which must exist: all of them or
// none. If it fails, the directory is as it was. A reader sees each file whole, the
// old one or the new one. What is no file, such as the link of a unit that is
// masked, is not replaced.
func Install(directory string, files map[string][]byte) (err error) {
	if info, err := os.Stat(directory); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is no directory", directory)
	}
	t := transaction{directory: directory}
	defer t.clean()
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("nothing is written: %w", err), t.undo())
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := t.prepare(filepath.Join(directory, name), files[name]); err != nil {
			return err
		}
	}
	return t.replace()
}

// transaction replaces files, each of which has been prepared beside the old one.
type transaction struct {
	directory string
	folders   []string // that it made
	files     []prepared
}

type prepared struct {
	path string
	next string // the new content
	last string // a copy of the old content; "" if there was no file
	done bool   // the new content is at the path
}

// prepare writes a file's content, and a copy of what it replaces, beside it.
func (t *transaction) prepare(path string, content []byte) error {
	folder := filepath.Dir(path)
	if err := t.makeFolder(folder); err != nil {
		return err
	}
	t.files = append(t.files, prepared{path: path})
	p := &t.files[len(t.files)-1]
	info, err := os.Lstat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is in the way: it is no file (%v)", path, info.Mode().Type())
	case err == nil:
		old, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if p.last, err = beside(path, old, info.Mode().Perm()); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	p.next, err = beside(path, content, 0o644)
	return err
}

// makeFolder makes a folder below the directory, and those above it, unless they are there.
func (t *transaction) makeFolder(folder string) error {
	if folder == filepath.Clean(t.directory) {
		return nil
	}
	if err := t.makeFolder(filepath.Dir(folder)); err != nil {
		return err
	}
	info, err := os.Lstat(folder)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is in the way: it is no directory (%v)", folder, info.Mode().Type())
	case err == nil:
		return nil
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	t.folders = append(t.folders, folder)
	return os.Chmod(folder, 0o755) // whatever the umask
}

// beside writes a file whose name systemd does not read, in the folder of path, and
// returns its name. The content is on the disk then.
func beside(path string, content []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".kernscope-*.tmp")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	return f.Name(), err
}

// replace puts the new files at their paths.
func (t *transaction) replace() error {
	folders := append([]string{t.directory}, t.folders...)
	for i := range t.files {
		p := &t.files[i]
		if err := os.Rename(p.next, p.path); err != nil {
			return err
		}
		p.done = true
		folders = append(folders, filepath.Dir(p.path))
	}
	slices.Sort(folders)
	for _, folder := range slices.Compact(folders) {
		if err := flush(folder); err != nil {
			return err
		}
	}
	return nil
}

// flush writes the names in a folder to the disk.
func flush(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// undo puts the old files back.
func (t *transaction) undo() (err error) {
	for _, p := range t.files {
		switch {
		case p.done && p.last != "":
			err = errors.Join(err, os.Rename(p.last, p.path))
		case p.done:
			err = errors.Join(err, os.Remove(p.path))
		}
	}
	t.clean() // a folder goes only if it is empty
	for _, folder := range slices.Backward(t.folders) {
		err = errors.Join(err, os.Remove(folder))
	}
	return err
}

// clean removes what is left beside the files.
func (t *transaction) clean() {
	for _, p := range t.files {
		os.Remove(p.next)
		os.Remove(p.last)
	}
}
