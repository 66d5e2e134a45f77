// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident is how many pages of a mapping are mapped, by the top bits of the
// entries of /proc/pid/pagemap (proc_pid_pagemap(5)).
func resident(t *testing.T, mapping []byte) (pages int) {
	t.Helper()
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer pagemap.Close()
	page := os.Getpagesize()
	entries := make([]byte, 8*len(mapping)/page)
	first := int64(uintptr(unsafe.Pointer(unsafe.SliceData(mapping)))) / int64(page)
	if _, err := pagemap.ReadAt(entries, 8*first); err != nil {
		t.Fatal(err)
	}
	for ; len(entries) > 0; entries = entries[8:] {
		pages += int(binary.NativeEndian.Uint64(entries) >> 63)
	}
	return pages
}

// TestShed maps a file three times: what only reads it is unmapped and reads the
// same afterwards, what has a page of its own or can be written is left alone.
func TestShed(t *testing.T) {
	page := os.Getpagesize()
	file := filepath.Join(t.TempDir(), "a program")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 8*page), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped := func(change func([]byte), protection int) []byte {
		m, err := unix.Mmap(int(f.Fd()), 0, 8*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(m) })
		if bytes.Count(m, []byte("x")) != len(m) {
			t.Fatal("the file is not as it was written")
		}
		change(m)
		if err := unix.Mprotect(m, protection); err != nil {
			t.Fatal(err)
		}
		return m
	}
	write := func(m []byte) { m[3*page] = 'y' }
	pure := mapped(func([]byte) {}, unix.PROT_READ)
	own := mapped(write, unix.PROT_READ|unix.PROT_EXEC)
	writable := mapped(write, unix.PROT_READ|unix.PROT_WRITE)

	if n := resident(t, pure); n == 0 {
		t.Fatal("nothing to shed")
	}
	if err := shed(file); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, pure); n != 0 {
		t.Errorf("%d pages are still mapped", n)
	}
	if n := bytes.Count(pure, []byte("x")); n != len(pure) {
		t.Errorf("%d of %d bytes are as they were", n, len(pure))
	}
	for name, m := range map[string][]byte{"own page": own, "writable": writable} {
		if m[3*page] != 'y' {
			t.Errorf("%s: lost what was written", name)
		}
	}
}
