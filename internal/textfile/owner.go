// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mark is the first line of every file that the package writes. Parsers take it for a comment.
const mark = "# Written by kernscope, which replaces and removes this file.\n"

// earlierMark begins a line of every file that versions of kernscope wrote before they wrote [mark].
// All lines of these files but comments begin with one of earlierPrefixes.
const earlierMark = "kernscope_collector_success{"

func earlierPrefixes() []string { return []string{"#", "ebpf_", "kernscope_"} }

// searched is how much of a file without [mark] is searched for [earlierMark].
const searched = 8 << 20

// ErrForeign means that a file is not known to be kernscope's, so kernscope neither replaces nor
// removes it.
var ErrForeign = errors.New("it is not kernscope's file")

// Check returns an error that is [ErrForeign] if something of this name is there that kernscope did
// not write.
func (d *Directory) Check(name string) error {
	path := filepath.Join(d.path, name)
	at, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if !at.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: it is no regular file", path, ErrForeign)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		// Everyone may read what kernscope writes.
		return fmt.Errorf("%s: %w: %w", path, ErrForeign, err)
	}
	defer f.Close()
	if !marked(f) {
		return fmt.Errorf("%s: %w: its first line is not %q", path, ErrForeign, strings.TrimSpace(mark))
	}
	return nil
}

// marked reports whether a text is kernscope's.
func marked(text io.Reader) bool {
	lines := bufio.NewScanner(io.LimitReader(text, searched))
	earlier := false
	for first := true; lines.Scan(); first = false {
		line := lines.Text()
		if first && line+"\n" == mark {
			return true
		}
		if !slices.ContainsFunc(earlierPrefixes(), func(prefix string) bool { return strings.HasPrefix(line, prefix) }) {
			return false
		}
		earlier = earlier || strings.HasPrefix(line, earlierMark)
	}
	return earlier && lines.Err() == nil
}
