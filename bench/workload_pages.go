// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// cached reads a loop device in memory page by page through the page cache, which holds all of the
// device. The clock is CPU time.
type cached struct {
	device *os.File
	buffer []byte
}

func newCached() (workload, error) {
	device, err := loopDevice(0)
	if err != nil {
		return nil, err
	}
	c := &cached{device: device, buffer: make([]byte, 16*os.Getpagesize())}
	// After one pass, all of the device stays in the page cache.
	_, err = c.pass(len(c.buffer), diskBytes/os.Getpagesize())
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *cached) run(n int) (time.Duration, error) { return c.pass(os.Getpagesize(), n) }

// pass reads the given number of pages, size bytes at a time, from the start again when it reaches
// the end of the device.
func (c *cached) pass(size, pages int) (time.Duration, error) {
	return onOneCPU(func() error {
		for at := 0; at < pages*os.Getpagesize(); at += size {
			if n, err := unix.Pread(int(c.device.Fd()), c.buffer[:size], int64(at%diskBytes)); n != size {
				return fmt.Errorf("reading through the page cache: %d bytes: %w", n, err)
			}
		}
		return nil
	})
}

func (c *cached) total() (uint64, error)    { return 0, errNoTotal }
func (c *cached) labels() map[string]string { return nil }
func (c *cached) close() error              { return c.device.Close() }

// uncached is the same with nothing of the device in the page cache. Kernel threads bring the pages
// in.
type uncached struct{ *cached }

func newUncached() (workload, error) {
	c, err := newCached()
	if err != nil {
		return nil, err
	}
	return &uncached{c.(*cached)}, nil
}

func (u *uncached) run(n int) (time.Duration, error) {
	var took time.Duration
	device := diskBytes / os.Getpagesize()
	for ; n > 0; n -= device {
		if err := unix.Fadvise(int(u.device.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return 0, fmt.Errorf("dropping pages from the page cache: %w", err)
		}
		pass, err := u.pass(len(u.buffer), min(n, device))
		if err != nil {
			return 0, err
		}
		took += pass
	}
	return took, nil
}

// faults writes to fresh anonymous pages. Each write is a minor fault and an allocation. The clock
// is CPU time.
type faults struct {
	memory []byte
}

func newFaults() (workload, error) {
	memory, err := unix.Mmap(-1, 0, 4096*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("allocating: %w", err)
	}
	// Each fault must bring in one page, not a huge one.
	if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
		return nil, errors.Join(fmt.Errorf("refusing huge pages: %w", err), unix.Munmap(memory))
	}
	return &faults{memory}, nil
}

func (f *faults) run(n int) (time.Duration, error) {
	size := os.Getpagesize()
	return onOneCPU(func() error {
		for n > 0 {
			for at := 0; at < len(f.memory) && n > 0; at += size {
				f.memory[at] = 1
				n--
			}
			if err := unix.Madvise(f.memory, unix.MADV_DONTNEED); err != nil {
				return fmt.Errorf("giving memory back: %w", err)
			}
		}
		return nil
	})
}

func (f *faults) total() (uint64, error)    { return 0, errNoTotal }
func (f *faults) labels() map[string]string { return nil }
func (f *faults) close() error              { return unix.Munmap(f.memory) }
