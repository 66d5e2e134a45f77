// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asyncReads submits neighbouring reads of a file together by Linux's asynchronous I/O. Each read
// is a separate I/O.
type asyncReads struct {
	context uintptr
	blocks  []ioBlock
	list    []*ioBlock
	events  []ioEvent
	buffer  []byte
	size    int
}

// ioBlock is struct iocb of include/uapi/linux/aio_abi.h; its zero opcode is a
// read. The members' order is that of little-endian machines.
type ioBlock struct {
	_      uint64 // data
	_      uint32 // key
	_      uint32 // rw_flags
	_      uint16 // lio_opcode
	_      int16  // reqprio
	file   uint32
	buffer uint64
	bytes  uint64
	offset int64
	_      uint64 // reserved
	_      uint32 // flags
	_      uint32 // resfd
}

// ioEvent is struct io_event.
type ioEvent struct {
	data, block    uint64
	result, second int64
}

// newAsyncReads prepares depth reads of size bytes at a time.
func newAsyncReads(file *os.File, depth, size int) (*asyncReads, error) {
	a := &asyncReads{size: size, blocks: make([]ioBlock, depth), events: make([]ioEvent, depth)}
	var err error
	// The buffer is aligned, and Go's garbage collector never moves or frees it.
	if a.buffer, err = unix.Mmap(-1, 0, depth*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("allocating: %w", err)
	}
	for i := range a.blocks {
		a.blocks[i] = ioBlock{
			file:   uint32(file.Fd()),
			buffer: uint64(uintptr(unsafe.Pointer(&a.buffer[i*size]))),
			bytes:  uint64(size),
		}
		a.list = append(a.list, &a.blocks[i])
	}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, uintptr(depth), uintptr(unsafe.Pointer(&a.context)), 0); errno != 0 {
		return nil, errors.Join(fmt.Errorf("setting up asynchronous I/O: %w", errno), unix.Munmap(a.buffer))
	}
	return a, nil
}

// read submits the reads, starting at offset, and waits for all of them.
func (a *asyncReads) read(offset int64) error {
	for i := range a.blocks {
		a.blocks[i].offset = offset + int64(i*a.size)
	}
	depth := uintptr(len(a.blocks))
	n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, a.context, depth, uintptr(unsafe.Pointer(&a.list[0])))
	if errno != 0 || n != depth {
		return fmt.Errorf("submitting %d reads: %d taken: %w", depth, n, errno)
	}
	for ended := uintptr(0); ended < depth; {
		n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, a.context, depth-ended, depth-ended,
			uintptr(unsafe.Pointer(&a.events[ended])), 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("waiting for reads: %w", errno)
		}
		if errno == 0 {
			ended += n
		}
	}
	for _, e := range a.events {
		if e.result != int64(a.size) {
			return fmt.Errorf("a read of %d bytes returned %d", a.size, e.result)
		}
	}
	return nil
}

// close ends the asynchronous I/O and frees the buffer.
func (a *asyncReads) close() error {
	_, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, a.context, 0, 0)
	if errno != 0 {
		return errors.Join(fmt.Errorf("ending asynchronous I/O: %w", errno), unix.Munmap(a.buffer))
	}
	return unix.Munmap(a.buffer)
}
