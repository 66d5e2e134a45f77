// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"testing"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// trial is an attempt at a comparison of exact numbers. Its disks are its own,
// and the kernel's statistics count what others do with them; but what completes
// while a process runs that the kernel hides from programs, these do not see.
type trial struct {
	*kerneltest.Attempt
	hidden *kerneltest.Watch
}

// exactly runs a comparison of exact numbers.
func exactly(t *testing.T, compare func(t *trial)) {
	t.Helper()
	kerneltest.Conclusive(t, 6, func(a *kerneltest.Attempt) {
		compare(&trial{a, kerneltest.WatchHidden(a)})
	})
}

// see starts to watch the disk.
func (t *trial) see(e *engine.Engine, d disk) *watch {
	t.Helper()
	w := see(t, e, d)
	w.hidden, w.last = t.hidden, t.Last
	return w
}

// perStint is how many I/Os of one disk can complete in a stint of a hidden
// process: twice as many as are under way.
const perStint = 16

// less returns how many of so many I/Os hidden processes may have kept from the
// programs.
func (s seen) less(of uint64) uint64 { return uint64(s.hidden.Events(int(of), perStint, s.last)) }

// ios returns the exact number of I/Os.
func (s seen) ios(want uint64) kerneltest.Truth[uint64] {
	return kerneltest.Exactly(want).Beside(s.less(want), 0, s.hidden.String())
}

// bytes returns the exact number of bytes of so many I/Os. Hidden ones have their
// part of them, or twice that.
func (s seen) bytes(want, ios uint64) kerneltest.Truth[uint64] {
	return kerneltest.Exactly(want).Beside(min(want, want*2*s.less(ios)/max(ios, 1)), 0, s.hidden.String())
}

// none is no I/O of a kind that there is only if a program has missed another,
// of so many.
func (s seen) none(of uint64) kerneltest.Truth[uint64] {
	return kerneltest.Exactly[uint64](0).Beside(0, s.less(of), s.hidden.String())
}
