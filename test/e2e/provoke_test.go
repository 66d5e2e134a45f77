// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// again calls a function some ten times a second until the test ends.
func again(t *testing.T, what string, do func() error) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			if err := do(); err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// file creates a file of 1 MiB on the disk, without dirty pages.
func file(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return f
}

// readAgain reads a file that is in the page cache, again and again.
func readAgain(t *testing.T) {
	t.Helper()
	f, buffer := file(t), make([]byte, 1<<20)
	again(t, "reading", func() error {
		_, err := f.ReadAt(buffer, 0)
		return err
	})
}

// faultAgain removes a mapped file from memory and touches it, again and again.
func faultAgain(t *testing.T) {
	t.Helper()
	f := file(t)
	memory, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(memory) })
	var sum byte
	again(t, "faulting", func() error {
		if err := unix.Madvise(memory, unix.MADV_DONTNEED); err != nil {
			return err
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return err
		}
		sum += memory[0]
		return nil
	})
}

// knockInVain connects to a listener whose queue is full. The listener does not answer, so the
// kernel sends the first packet of each connection again after a second.
func knockInVain(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*unix.SockaddrInet4).Port))
	var queued []net.Conn
	t.Cleanup(func() {
		for _, c := range queued {
			c.Close()
		}
	})
	again(t, "connecting", func() error {
		if c, err := net.DialTimeout("tcp", address, 2500*time.Millisecond); err == nil {
			queued = append(queued, c)
		}
		return nil
	})
}
