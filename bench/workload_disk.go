// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const diskDepth = 64 // requests at once

// requests reads from a loop device in memory, bypassing the page cache, many requests at once. Its
// clock is wall time, because kernel threads do half of the work.
type requests struct {
	device *os.File
	queue  *asyncReads
}

func newRequests() (workload, error) {
	device, err := loopDevice(unix.O_DIRECT)
	if err != nil {
		return nil, err
	}
	r := &requests{device: device}
	// With an I/O scheduler, which disks have by default, requests are both inserted and issued.
	// Neighbouring requests must not be merged.
	for name, value := range map[string]string{"scheduler": "mq-deadline", "nomerges": "2"} {
		if err := os.WriteFile(filepath.Join(block(device), "queue", name), []byte(value), 0); err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	if r.queue, err = newAsyncReads(device, diskDepth, diskRequest); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *requests) run(n int) (time.Duration, error) {
	begin := time.Now()
	for done := 0; done < n; done += diskDepth {
		if err := r.queue.read(int64(done) * diskRequest % diskBytes); err != nil {
			return 0, err
		}
	}
	return time.Since(begin), nil
}

func (r *requests) total() (uint64, error)    { return reads(r.device) }
func (r *requests) labels() map[string]string { return onDevice(r.device) }

func (r *requests) close() error {
	var errs error
	if r.queue != nil {
		errs = r.queue.close()
	}
	return errors.Join(errs, r.device.Close())
}

// bios reads from a compressed disk in memory (zram). Its driver takes bios directly and ends them
// at once, so one thread does all the work, and the clock is that thread's CPU time.
type bios struct {
	device *os.File
	buffer []byte
	number string
}

const zramControl = "/sys/class/zram-control/"

func newBios() (workload, error) {
	_ = kerneltest.Modprobe("zram") // fails harmlessly if zram is built in
	added, err := os.ReadFile(zramControl + "hot_add")
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: it has no zram", errUnsupported)
	} else if err != nil {
		return nil, fmt.Errorf("adding a zram device: %w", err)
	}
	b := &bios{number: strings.TrimSpace(string(added))}
	size := filepath.Join("/sys/block/zram"+b.number, "disksize")
	if err := os.WriteFile(size, []byte(strconv.Itoa(diskBytes)), 0); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if b.buffer, err = unix.Mmap(-1, 0, diskRequest, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if b.device, err = os.OpenFile("/dev/zram"+b.number, os.O_RDWR|unix.O_DIRECT, 0); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bios) run(n int) (time.Duration, error) {
	return onOneCPU(func() error {
		for i := range n {
			if _, err := unix.Pread(int(b.device.Fd()), b.buffer, int64(i*diskRequest%diskBytes)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bios) total() (uint64, error)    { return reads(b.device) }
func (b *bios) labels() map[string]string { return onDevice(b.device) }

func (b *bios) close() error {
	var errs error
	if b.buffer != nil {
		errs = unix.Munmap(b.buffer)
	}
	if b.device != nil {
		errs = errors.Join(errs, b.device.Close())
	}
	return errors.Join(errs, os.WriteFile(zramControl+"hot_remove", []byte(b.number), 0))
}

// beside is the workload requests while a device without requests is in use, as on every machine
// with LVM or LUKS.
type beside struct {
	workload
	bios workload
}

func newBeside() (workload, error) {
	requests, err := newRequests()
	if err != nil {
		return nil, err
	}
	bios, err := newBios()
	if err != nil {
		return nil, errors.Join(err, requests.close())
	}
	return &beside{requests, bios}, nil
}

func (b *beside) run(n int) (time.Duration, error) {
	if _, err := b.bios.run(1); err != nil {
		return 0, err
	}
	return b.workload.run(n)
}

func (b *beside) close() error { return errors.Join(b.workload.close(), b.bios.close()) }
