// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Barrier waits for programs. A change to a map of maps returns only when all
// programs that ran before it have ended (1ae80cf31938 "bpf: wait for running
// BPF programs when updating map-in-map"); it is made for the wait alone.
type Barrier struct {
	outer, inner *ebpf.Map
}

// NewBarrier returns a barrier for the tables of a collector, until it is closed.
func NewBarrier() (*Barrier, error) {
	spec := &ebpf.MapSpec{Name: "barrier", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	inner, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("creating the barrier: %w", err)
	}
	outer, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "barriers", Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: spec,
	})
	if err != nil {
		inner.Close()
		return nil, fmt.Errorf("creating the map of the barrier: %w", err)
	}
	return &Barrier{outer, inner}, nil
}

// wait returns when all programs that run now have ended: a grace period of
// RCU, some ten milliseconds.
func (b *Barrier) wait() error { return b.outer.Put(uint32(0), b.inner) }

// Close lets go of the barrier. A nil barrier has nothing.
func (b *Barrier) Close() {
	if b == nil {
		return
	}
	b.outer.Close()
	b.inner.Close()
}
