// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// possibleCPUs returns how many CPUs the kernel keeps a copy of a per-CPU map's
// values for. It reads such a value, and counts the copies.
func possibleCPUs() (int, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return 0, err
	}
	defer m.Close()
	const most = 1 << 14                           // twice what CONFIG_NR_CPUS may be
	memory := bytes.Repeat([]byte{0xff}, 8+8*most) // so much is not on the stack, which moves
	key, copies := memory[:8], memory[8:]
	clear(key)
	attr := struct { // of BPF_MAP_LOOKUP_ELEM, in linux/bpf.h
		fd         uint32
		key, value uint64
		flags      uint64
	}{
		fd:    uint32(m.FD()),
		key:   uint64(uintptr(unsafe.Pointer(&key[0]))),
		value: uint64(uintptr(unsafe.Pointer(&copies[0]))),
	}
	const lookup = 1
	_, _, errno := unix.Syscall(unix.SYS_BPF, lookup, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(memory)
	if errno != 0 {
		return 0, fmt.Errorf("reading a per-CPU map: %w", errno)
	}
	return (len(copies) - bytes.Count(copies, []byte{0xff})) / 8, nil
}

// checkPossibleCPUs fails if the file from which the library takes the number of
// copies does not have the kernel's number: the kernel would write beyond the
// library's memory, or counts would be missing.
func checkPossibleCPUs() error {
	listed, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	kept, err := possibleCPUs()
	if err != nil {
		return err
	}
	if listed != kept {
		return fmt.Errorf("%s/possible lists %d CPUs, and the kernel counts on %d", cpuFolder, listed, kept)
	}
	return nil
}
