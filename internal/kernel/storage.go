// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// createTaskStorage creates a map of that type, and frees it. The library's own
// question is a mistake on purpose, and until the kernel has undone its part of
// the work it waits for all CPUs, 20 ms and more.
func createTaskStorage() error {
	storage, err := ebpf.NewMap(&ebpf.MapSpec{
		Type:      ebpf.TaskStorage,
		Flags:     unix.BPF_F_NO_PREALLOC,
		KeySize:   4,
		ValueSize: 8,
		Key:       &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
		Value:     &btf.Int{Name: "unsigned long long", Size: 8},
	})
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: %w", ebpf.ErrNotSupported, err)
	}
	if err != nil {
		return err
	}
	return storage.Close()
}

// holdsLock says whether the kernel fires the tracepoint while it holds the
// lock of a run queue. A program there must not allocate by kmalloc, which may
// wake kswapd, which takes such a lock.
func holdsLock(tracepoint string) bool {
	return tracepoint == "sched_switch"
}

// StorageUnderLock says whether programs may create task storage while a run
// queue is locked. Since Linux 6.4 its memory comes from an allocator that is
// made for any context (08a7ce384e33 "bpf: Use bpf_mem_cache_alloc/free in
// bpf_local_storage_elem"), before it came from kmalloc. What the allocator is
// called in the types has changed since; bpf_local_storage_destroy, of the
// same release (2ffcb6fc5017 "bpf: Refactor codes into
// bpf_local_storage_destroy"), stayed.
func (m *Machine) StorageUnderLock() Finding {
	return m.once("storage under lock", func() Finding {
		spec, err := m.Spec()
		if err != nil {
			return Finding{Reason: err.Error()}
		}
		var marker *btf.Func
		err = spec.TypeByName("bpf_local_storage_destroy", &marker)
		if errors.Is(err, btf.ErrNotFound) {
			return no("this kernel allocates task storage in a way that could block the scheduler (before Linux 6.4)", "")
		}
		if err != nil {
			return Finding{Reason: err.Error()}
		}
		return yes()
	})
}
