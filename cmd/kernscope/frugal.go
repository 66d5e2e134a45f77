// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// frugal fits Go's runtime to a small program that others leave running: its
// defaults trade memory, and threads of the garbage collector, for a throughput
// that a scrape every few seconds has no use for. GOMAXPROCS and GOGC overrule it.
func frugal() {
	runtime.MemProfileRate = 0 // nobody reads that profile
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1) // each has caches of its own, and wakes workers on the others
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // the heap is collected from 2 MiB on, not from 4
	}
}

// shedStart lets go of the program's own pages once it has started. Most of
// them hold what loads and attaches programs, and would stay mapped, which
// keeps the kernel from reusing their memory. What serving needs comes back
// from the page cache when it is needed.
func shedStart() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	return shed(program)
}

// shed unmaps the pages of a file in this process (MADV_DONTNEED of madvise(2)),
// of mappings that are read only and equal the file.
func shed(file string) error {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	mappings, err := pureMappings(smaps, file)
	for _, m := range mappings {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m[0], m[1]-m[0], unix.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, fmt.Errorf("unmapping %x-%x: %w", m[0], m[1], errno))
		}
	}
	return err
}

// pureMappings returns where mappings of a file begin and end, by a text like
// /proc/self/smaps, if they are read only and equal the file: one that has pages
// of its own, such as a debugger's breakpoints, would lose them.
func pureMappings(smaps []byte, file string) (found [][2]uintptr, errs error) {
	var at [2]uintptr // the mapping whose lines follow, if it is one to look at
	for lines := bufio.NewScanner(bytes.NewReader(smaps)); lines.Scan(); {
		line := lines.Text()
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			at = [2]uintptr{}
			if strings.HasSuffix(line, " "+file) && !strings.Contains(fields[1], "w") {
				if _, err := fmt.Sscanf(fields[0], "%x-%x", &at[0], &at[1]); err != nil {
					errs = errors.Join(errs, fmt.Errorf("reading %q: %w", line, err))
				}
			}
		case at[0] < at[1] && len(fields) >= 2 && fields[0] == "Anonymous:" && fields[1] == "0":
			found = append(found, at)
		}
	}
	return found, errs
}
