// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"

	"github.com/cilium/ebpf/btf"
)

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
