// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/kerneltest/compat"
	"github.com/kernscope/kernscope/internal/label"
)

// TestCompatCalls makes calls the way 32-bit programs do, whose number of
// pread64 is another call's in 64-bit programs.
func TestCompatCalls(t *testing.T) {
	if !compat.Supported() {
		kerneltest.VM(t, "this kernel runs no 32-bit programs")
		t.Fatal("a kernel of the matrix that runs no 32-bit programs")
	}
	e := kerneltest.Run(t, Spec())
	read, ok := label.CompatSyscallNumber("read")
	if !ok {
		t.Fatal("no 32-bit read")
	}
	const times = 37
	process := kerneltest.Own("compat")
	kerneltest.As(t, process, func() {
		for range times {
			compat.Call(read)
		}
	})
	for operation, want := range map[string]float64{"open": 0, "read": times, "write": 0} {
		if got := count(t, e, process, operation); got != want {
			t.Errorf("%s: %v counted, %v made", operation, got, want)
		}
	}
}
