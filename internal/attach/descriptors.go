// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
)

// whileLoading is how many descriptors loading takes besides those of maps: type
// information, and programs that only try something.
const whileLoading = 8

// ofBarrier is how many descriptors the barrier of a collector's tables takes.
const ofBarrier = 2

// Descriptors returns how many descriptors a collector takes while it is attached,
// and how many more while it is loaded, at most.
func Descriptors(spec collector.Spec) (attached, loading int, err error) {
	if spec.Load == nil {
		return len(spec.Hooks), 0, nil
	}
	obj, err := spec.Load()
	if err != nil {
		return 0, 0, fmt.Errorf("collector %s: %w", spec.Name, err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return 0, 0, err
	}
	maps := len(obj.Maps)
	for _, t := range spec.Tables {
		maps += len(t.Companions())
	}
	attached = maps
	if maps > len(obj.Maps) {
		attached += ofBarrier
	}
	for _, hook := range spec.Hooks {
		most := 1 // a source
		for _, w := range hook.Ways {
			way := 0
			for _, name := range w.Programs {
				way += 2 // the program and its link
				if p := obj.Programs[name]; p != nil && strings.HasPrefix(p.SectionName, "perf_event") {
					way += cpus
				}
			}
			most = max(most, way)
		}
		attached += most
	}
	// While programs are loaded, the maps are there twice.
	return attached, maps + whileLoading, nil
}
