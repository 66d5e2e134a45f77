// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// heldFile is a file whose reads and writes the test answers: it is the root of a
// FUSE file system of which it is all.
type heldFile struct {
	file  *os.File
	conn  int
	size  uint64
	held  sync.RWMutex  // locked while no read or write is answered
	errno atomic.Uint32 // what reads and writes fail with; 0 is not
}

// The part of the protocol that such a file needs; see linux/fuse.h.
const (
	fuseForget  = 2
	fuseGetattr = 3
	fuseOpen    = 14
	fuseRead    = 15
	fuseWrite   = 16
	fuseInit    = 26
	fuseIntr    = 36
	fuseForgets = 42
	fuseHeader  = 40
	fuseMost    = 64 << 10 // bytes of a write
)

// newHeldFile returns a file of so many bytes, all zero, until the test ends.
func newHeldFile(t testing.TB, size uint64) *heldFile {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		kerneltest.LoadModule(t, "fuse")
	}
	conn, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "held")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("kernscope-test", path, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=100600,user_id=0,group_id=0", conn)); err != nil {
		t.Fatalf("mounting a FUSE file: %v", err)
	}
	h := &heldFile{conn: conn, size: size}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.serve()
	}()
	t.Cleanup(func() {
		h.file.Close()
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting a FUSE file: %v", err)
		}
		<-done
		unix.Close(conn)
	})
	if h.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	// Older kernels' loop devices do not ask for the size, so the kernel must know it.
	if _, err := h.file.Stat(); err != nil {
		t.Fatal(err)
	}
	return h
}

// serve answers until the file system is unmounted.
func (h *heldFile) serve() {
	request := make([]byte, fuseMost+4096)
	for {
		n, err := unix.Read(h.conn, request)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return
		}
		h.answer(request[:n])
	}
}

func (h *heldFile) answer(request []byte) {
	order := binary.NativeEndian
	argument := request[fuseHeader:]
	var reply []byte
	var errno uint32
	switch order.Uint32(request[4:]) {
	case fuseForget, fuseForgets, fuseIntr:
		return
	case fuseInit:
		reply = make([]byte, 64)
		order.PutUint32(reply, 7)
		order.PutUint32(reply[4:], 31)
		order.PutUint32(reply[20:], fuseMost)
	case fuseGetattr:
		reply = make([]byte, 104)
		order.PutUint64(reply[16:], 1)
		order.PutUint64(reply[24:], h.size)
		order.PutUint32(reply[76:], unix.S_IFREG|0o600)
		order.PutUint32(reply[80:], 1)
	case fuseOpen:
		const direct = 1
		reply = make([]byte, 16)
		order.PutUint32(reply[8:], direct)
	case fuseRead, fuseWrite:
		h.held.RLock()
		errno = h.errno.Load()
		h.held.RUnlock()
		size := order.Uint32(argument[16:])
		if order.Uint32(request[4:]) == fuseRead {
			reply = make([]byte, size)
		} else {
			reply = order.AppendUint32(nil, size)
			reply = append(reply, 0, 0, 0, 0)
		}
	default:
		errno = uint32(unix.ENOSYS)
	}
	if errno != 0 {
		reply = nil
	}
	header := order.AppendUint32(nil, uint32(16+len(reply)))
	header = order.AppendUint32(header, -errno)
	header = append(header, request[8:16]...)
	_, _ = unix.Write(h.conn, append(header, reply...)) // ENOENT: nobody waits any more
}

// heldLoop makes a disk of such a file, with four tags: four requests, and the
// next one has to wait.
func heldLoop(t testing.TB) (disk, *heldFile) {
	t.Helper()
	h := newHeldFile(t, 1<<20)
	device := kerneltest.LoopDisk(t, h.file)
	// Otherwise older kernels make EIO of any error.
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_DIRECT_IO, 1); err != nil {
		t.Fatalf("direct I/O: %v", err)
	}
	d := disk{filepath.Base(device.Name())}
	d.set(t, "queue/iostats", "1")
	d.set(t, "queue/scheduler", "none")
	d.set(t, "queue/nomerges", "2")
	d.set(t, "queue/nr_requests", fmt.Sprint(tags))
	return d, h
}
