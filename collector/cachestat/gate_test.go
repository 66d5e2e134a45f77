// SPDX-License-Identifier: Apache-2.0

package cachestat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/kerneltest"
	"golang.org/x/sys/unix"
)

// gate is a disk whose reads the test holds back as long as it wants: a loop
// device on a file of a file system in user space (fuse(4)), which is the test.
type gate struct {
	t     *testing.T
	fd    int
	image *os.File

	mu     sync.Mutex
	closed bool
	held   []func()
	holds  chan struct{} // a message for each read that is held
}

// newGate mounts, in a folder of dir, a file system that has one file, "image",
// whose bytes are those of a file in dir, which is in memory.
func newGate(t *testing.T, dir string) (g *gate, image string) {
	t.Helper()
	_ = kerneltest.Modprobe("fuse") // or built in: opening the device says so
	root := filepath.Join(dir, "gate")
	run(t, "mkdir", root)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal("/dev/fuse:", err)
	}
	g = &gate{t: t, fd: fd, holds: make(chan struct{}, 1<<16)}
	run(t, "truncate", "-s", imageSize, filepath.Join(dir, "image"))
	if g.image, err = os.OpenFile(filepath.Join(dir, "image"), os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("gate", root, "fuse", 0, options); err != nil {
		t.Fatal("mounting fuse:", err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		g.serve()
	}()
	t.Cleanup(func() {
		g.open()
		// The loop device lets the file go a moment after it is unmounted.
		err := unix.Unmount(root, 0)
		for i := 0; err == unix.EBUSY && i < 100; i++ {
			time.Sleep(50 * time.Millisecond)
			err = unix.Unmount(root, 0)
		}
		if err != nil {
			t.Errorf("unmounting %s: %v", root, err)
			unix.Unmount(root, unix.MNT_FORCE|unix.MNT_DETACH)
		}
		<-served
		unix.Close(fd)
		g.image.Close()
	})
	return g, filepath.Join(root, "image")
}

// close holds what is read from now on.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// open answers what was held, and holds nothing more.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
	for _, answer := range g.held {
		answer()
	}
	g.held = nil
	for len(g.holds) > 0 {
		<-g.holds
	}
}

// Requests, and offsets in them and in the answers (include/uapi/linux/fuse.h).
const (
	fuseLookup, fuseForget, fuseGetattr, fuseSetattr    = 1, 2, 3, 4
	fuseOpen, fuseRead, fuseWrite, fuseStatfs           = 14, 15, 16, 17
	fuseRelease, fuseFsync, fuseFlush, fuseInit         = 18, 20, 25, 26
	fuseInterrupt, fuseDestroy, fuseForgetMany          = 36, 38, 42
	fuseIn, fuseOut, fuseAttr, fuseWriteIn, fuseMaxSize = 40, 16, 88, 40, 128 << 10
)

// serve answers the kernel until the file system is unmounted.
func (g *gate) serve() {
	buf := make([]byte, fuseMaxSize+4096)
	for {
		n, err := unix.Read(g.fd, buf)
		if errors.Is(err, unix.ENODEV) {
			return
		}
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			g.t.Errorf("reading from fuse: %v", err)
			return
		}
		g.handle(append([]byte(nil), buf[:n]...))
	}
}

func (g *gate) handle(request []byte) {
	word, long := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	opcode, unique, node, body := word(request[4:]), long(request[8:]), long(request[16:]), request[fuseIn:]
	switch opcode {
	case fuseForget, fuseForgetMany, fuseInterrupt:
	case fuseInit:
		out := make([]byte, 64)
		copy(out, words(7, 31, fuseMaxSize))  // the version, and how much it may read ahead
		copy(out[20:], words(fuseMaxSize, 1)) // the largest write; times are whole nanoseconds
		g.answer(unique, 0, out)
	case fuseLookup:
		out := make([]byte, 40)
		out[0] = 2 // the only file's number
		g.answer(unique, 0, append(out, g.attr(2)...))
	case fuseGetattr, fuseSetattr:
		g.answer(unique, 0, append(make([]byte, 16), g.attr(node)...))
	case fuseOpen:
		g.answer(unique, 0, append(make([]byte, 8), words(1, 0)...)) // FOPEN_DIRECT_IO
	case fuseRead:
		offset, size := int64(long(body[8:])), word(body[16:])
		g.pass(func() {
			data := make([]byte, size)
			n, _ := g.image.ReadAt(data, offset)
			g.answer(unique, 0, data[:n])
		})
	case fuseWrite:
		n, err := g.image.WriteAt(body[fuseWriteIn:][:word(body[16:])], int64(long(body[8:])))
		if err != nil {
			g.answer(unique, unix.EIO, nil)
			return
		}
		g.answer(unique, 0, words(uint32(n), 0))
	case fuseStatfs:
		g.answer(unique, 0, make([]byte, 80))
	case fuseRelease, fuseFsync, fuseFlush, fuseDestroy:
		g.answer(unique, 0, nil)
	default:
		g.answer(unique, unix.ENOSYS, nil)
	}
}

// pass lets a read through, or holds it.
func (g *gate) pass(answer func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		answer()
		return
	}
	g.held = append(g.held, answer)
	g.holds <- struct{}{}
}

// attr returns a struct fuse_attr: the first node is the folder, the second the
// file.
func (g *gate) attr(node uint64) []byte {
	out := make([]byte, fuseAttr)
	info, err := g.image.Stat()
	if err != nil {
		g.t.Error(err)
		return out
	}
	mode := uint32(unix.S_IFDIR | 0o755)
	if node == 2 {
		mode = unix.S_IFREG | 0o644
		binary.NativeEndian.PutUint64(out[8:], uint64(info.Size()))
	}
	binary.NativeEndian.PutUint64(out, node)
	copy(out[60:], words(mode, 1))
	return out
}

func (g *gate) answer(unique uint64, errno unix.Errno, body []byte) {
	out := make([]byte, fuseOut, fuseOut+len(body))
	copy(out, words(uint32(fuseOut+len(body)), uint32(-int32(errno))))
	binary.NativeEndian.PutUint64(out[8:], unique)
	// Who asked may have given up: no error.
	if _, err := unix.Write(g.fd, append(out, body...)); err != nil && !errors.Is(err, unix.ENOENT) {
		g.t.Errorf("writing to fuse: %v", err)
	}
}

func words(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = binary.NativeEndian.AppendUint32(out, v)
	}
	return out
}
