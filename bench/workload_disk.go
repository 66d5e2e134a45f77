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
)

const (
	diskBytes   = 16 << 20
	diskRequest = 4 << 10
	diskDepth   = 64 // requests at a time
)

// requests reads from a loop device in memory, past the page cache, many
// requests at a time. Half of the work is done by threads of the kernel, so
// the clock is the wall's.
type requests struct {
	device, file *os.File
	queue        *asyncReads
}

func newRequests() (workload, error) {
	// Memory: a file on a disk would be seen as I/O to that disk, too.
	file, err := os.CreateTemp("/dev/shm", "kernscope-bench")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	device, err := loopDevice(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r := &requests{device: device, file: file}
	// Through a scheduler, as disks have it by default, requests are both
	// inserted and issued. Neighbours must not become one.
	for name, value := range map[string]string{"scheduler": "mq-deadline", "nomerges": "2"} {
		path := filepath.Join("/sys/block", filepath.Base(device.Name()), "queue", name)
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	if r.queue, err = newAsyncReads(device, diskDepth, diskRequest); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// loopDevice makes a block device of a file; it goes when it is closed.
func loopDevice(backing *os.File) (*os.File, error) {
	if _, err := backing.Write(make([]byte, diskBytes)); err != nil {
		return nil, err
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for range 100 { // another process may be faster
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("asking for a free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", number), os.O_RDWR|unix.O_DIRECT, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: diskRequest}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		if err = unix.IoctlLoopConfigure(int(device.Fd()), &config); err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("setting up %s: %w", device.Name(), err)
		}
	}
	return nil, errors.New("found no free loop device")
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
func (r *requests) labels() map[string]string { return device(r.device) }

func (r *requests) close() error {
	var errs error
	if r.queue != nil {
		errs = r.queue.close()
	}
	return errors.Join(errs, r.device.Close(), r.file.Close())
}

// bios reads from a compressed disk in memory (zram), whose driver takes bios
// as they are and ends them at once: all on one thread, on CPU time.
type bios struct {
	device *os.File
	buffer []byte
	number string
}

const zramControl = "/sys/class/zram-control/"

func newBios() (workload, error) {
	added, err := os.ReadFile(zramControl + "hot_add")
	if err != nil {
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
func (b *bios) labels() map[string]string { return device(b.device) }

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

// reads is the kernel's own count of a device's completed reads.
func reads(device *os.File) (uint64, error) {
	stat, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device.Name()), "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat))
	if len(fields) == 0 {
		return 0, fmt.Errorf("%s has no statistics", device.Name())
	}
	return strconv.ParseUint(fields[0], 10, 64)
}

func device(file *os.File) map[string]string {
	return map[string]string{"device": filepath.Base(file.Name())}
}
