// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"fmt"
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// exactly runs a comparison of exact numbers. The matrix's machines belong to
// the test, so there it must hold at once. Elsewhere others may read the disk at
// the same time, and there are kernels that run no program while certain
// processes are current: it is tried again before it fails.
func exactly(t *testing.T, compare func(t testing.TB)) {
	t.Helper()
	attempts := 4
	if kerneltest.Kernel() != "" {
		attempts = 1
	}
	for {
		try := &attempt{TB: t}
		compare(try)
		attempts--
		if len(try.errors) == 0 {
			return
		}
		if attempts == 0 {
			for _, e := range try.errors {
				t.Error(e)
			}
			return
		}
		t.Logf("trying again, because of %q", try.errors)
	}
}

// attempt is a test whose errors are kept.
type attempt struct {
	testing.TB
	errors []string
}

func (a *attempt) Errorf(format string, args ...any) {
	a.errors = append(a.errors, fmt.Sprintf(format, args...))
}

// named is a test whose errors say what they are about.
type named struct {
	testing.TB
	name string
}

func (n named) Errorf(format string, args ...any) {
	n.Helper()
	n.TB.Errorf("%s: %s", n.name, fmt.Sprintf(format, args...))
}
