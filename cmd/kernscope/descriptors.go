// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
)

const (
	// spareForClients is how many descriptors are kept for clients, at least.
	spareForClients = 16
	// plentyOfDescriptors is a limit that needs no counting.
	plentyOfDescriptors = 1 << 12
)

// checkDescriptors returns an error if this process may not have the descriptors
// that the collectors take, and some for clients. Without it, some collectors
// would fail, or nobody could connect. Go has raised the limit as far as it may.
func checkDescriptors(specs []collector.Spec) error {
	limit := descriptorLimit()
	if limit >= plentyOfDescriptors {
		return nil
	}
	needed, most := openDescriptors()+spareForClients, 0
	for _, s := range specs {
		stay, loading, err := attach.Descriptors(s)
		if err != nil {
			return err
		}
		needed, most = needed+stay, max(most, loading)
	}
	if needed+most <= limit {
		return nil
	}
	return fmt.Errorf("this process may have %d descriptors, and needs %d for these collectors and their clients: raise the limit (ulimit -n, LimitNOFILE= of a unit), or leave collectors out",
		limit, needed+most)
}

// spareDescriptors returns how many more descriptors this process may have.
func spareDescriptors() int { return descriptorLimit() - openDescriptors() - spareForClients/2 }

// descriptorLimit returns how many descriptors this process may have.
func descriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur)
}

// openDescriptors returns how many descriptors this process has.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // without /proc, little else works
	}
	return len(entries)
}
