// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// files is the folder under which the kernel shows itself in files: "" on a
// running machine, another in tests.
type files string

// path returns where the file of that name is.
func (f files) path(name string) string {
	if f == "" {
		return name
	}
	return filepath.Join(string(f), name)
}

// line returns the text of a file that has one line, "" if it cannot be read.
func (f files) line(name string) string {
	text, err := os.ReadFile(f.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// inode returns the number of a file, 0 if there is none.
func (f files) inode(name string) uint64 {
	var stat unix.Stat_t
	if unix.Stat(f.path(name), &stat) != nil {
		return 0
	}
	return stat.Ino
}
