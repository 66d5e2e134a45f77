// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"slices"
	"strings"

	"github.com/kernscope/kernscope/collector"
)

// Only returns the collector with those ways of its hooks whose programs are
// all wanted. Hooks that would have none keep theirs.
func Only(spec collector.Spec, wanted func(program string) bool) collector.Spec {
	spec.Hooks = slices.Clone(spec.Hooks)
	for i, h := range spec.Hooks {
		kept := slices.DeleteFunc(slices.Clone(h.Ways), func(w collector.Way) bool {
			return len(w.Programs) == 0 || slices.ContainsFunc(w.Programs, func(p string) bool { return !wanted(p) })
		})
		if len(kept) > 0 {
			spec.Hooks[i].Ways = kept
		}
	}
	return spec
}

// OnlySuffix does what [Only] does, for programs whose names end so: "_raw" are
// those that need no type information of the kernel's own.
func OnlySuffix(spec collector.Spec, suffix string) collector.Spec {
	return Only(spec, func(program string) bool { return strings.HasSuffix(program, suffix) })
}
