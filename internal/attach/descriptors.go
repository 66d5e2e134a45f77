// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
)

const (
	// ofProgram are the descriptors of a program: its own, its link's and that of
	// its type information.
	ofProgram = 3
	// ofMap are those of a map, at most: who reads it and who sets a variable in it
	// have their own.
	ofMap = 3
	// ofBarrier are those of what waits for the programs that count in a collector's tables.
	ofBarrier = 2
	// whileLoading is how many descriptors loading takes besides those of maps: type
	// information, and programs that only try something.
	whileLoading = 8
)

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
	attached = ofMap*maps + ofBarrier
	for _, hook := range spec.Hooks {
		most := 1 // a source
		for _, w := range hook.Ways {
			way := 0
			for _, name := range w.Programs {
				way += ofProgram
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
