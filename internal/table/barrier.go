// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// barrier waits for programs. A change to a map of maps returns only when all
// programs that ran before it have ended (1ae80cf31938 "bpf: wait for running
// BPF programs when updating map-in-map"); it is made for the wait alone.
type barrier struct {
	outer, inner *ebpf.Map
}

func newBarrier() (*barrier, error) {
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
	return &barrier{outer, inner}, nil
}

// wait returns when all programs that run now have ended: a grace period of
// RCU, some ten milliseconds.
func (b *barrier) wait() error { return b.outer.Put(uint32(0), b.inner) }

func (b *barrier) close() {
	b.outer.Close()
	b.inner.Close()
}
