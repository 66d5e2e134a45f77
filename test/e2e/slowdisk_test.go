// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// slowDisk is a loop device on a file that this process serves slowly through FUSE. So every kernel
// that has FUSE and loop devices has a slow disk. Only other processes may read it, because a
// process that waits for itself cannot be killed.
type slowDisk struct {
	fs.Inode
	delay time.Duration
	name  string // in /sys/block

	mu   sync.Mutex
	took []time.Duration // of each slow read, without the way to the file system and back
}

// The part between these bytes is slow. Programs that look at every new disk, such as udev, read
// the rest, which answers at once.
const slowBegin, slowEnd, diskEnd = 16 << 20, 48 << 20, 64 << 20

// newSlowDisk makes a disk. On a part of it, a read takes a little longer than the delay. The disk
// exists until the test ends or dies.
func newSlowDisk(t *testing.T, delay time.Duration) *slowDisk {
	t.Helper()
	d := &slowDisk{delay: delay}
	server, device := d.serve(t)
	d.name = filepath.Base(device.Name())
	t.Cleanup(func() {
		device.Close()
		server.Wait()
	})
	return d
}

// serve attaches a loop device to the file, in a file system that no other process sees. The file
// system disappears with the device or with this process. Therefore no other process may hold the
// connection to the kernel, or the file. Also, this process must not wait for itself. go-fuse would
// let child processes inherit the connection, a fork would pass on the file, and Go would poll it.
func (d *slowDisk) serve(t *testing.T) (*fuse.Server, *os.File) {
	t.Helper()
	dir, root := t.TempDir(), new(fs.Inode)
	connection, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("opening /dev/fuse: %v", err)
	}
	const flags = "fd=%d,rootmode=40000,user_id=0,group_id=0,max_read=131072"
	if err := unix.Mount("slow", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf(flags, connection)); err != nil {
		t.Fatalf("mounting a file system through FUSE: %v", err)
	}
	// The mount is not needed once the file is open.
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	}()
	server, err := fs.Mount(fmt.Sprintf("/dev/fd/%d", connection), root, &fs.Options{
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: unix.S_IFREG}), false)
		},
	})
	if err != nil {
		t.Fatalf("serving a file system through FUSE: %v", err)
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	file, err := unix.Open(filepath.Join(dir, "disk"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("opening a file served through FUSE: %v", err)
	}
	defer unix.Close(file)
	device, err := kerneltest.AttachLoop(uintptr(file), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return server, device
}

// Getattr, Open, Read and Write are the methods that FUSE calls.
func (d *slowDisk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, diskEnd
	return 0
}

func (d *slowDisk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0 // bypasses the page cache, so every read comes here
}

func (d *slowDisk) Read(_ context.Context, _ fs.FileHandle, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	clear(dest)
	if offset >= slowBegin && offset < slowEnd {
		begin := time.Now()
		time.Sleep(d.delay)
		d.mu.Lock()
		d.took = append(d.took, time.Since(begin))
		d.mu.Unlock()
	}
	return fuse.ReadResultData(dest), 0
}

// reads returns the number of reads that the kernel has counted.
func (d *slowDisk) reads(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/sys/block/" + d.name + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(string(text), &n); err != nil {
		t.Fatalf("parsing %q: %v", text, err)
	}
	return n
}

// slowReads returns how many reads of the slow part there were.
func (d *slowDisk) slowReads() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.took)
}

// quantile returns a quantile of the time that the disk itself took, in seconds.
func (d *slowDisk) quantile(q float64) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.took) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(d.took))
	return sorted[int(q*float64(len(sorted)-1))].Seconds()
}
