// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"testing"
)

// judge is a test that takes part in [Conclusive].
type judge interface {
	excuse(text, others string)
	record(r Record)
}

// excuse reports an error that others may have caused. Outside of [Conclusive]
// there is no other attempt: then it is an error.
func excuse(t testing.TB, text, others string) {
	t.Helper()
	if j, ok := t.(judge); ok {
		j.excuse(text, others)
		return
	}
	t.Errorf("%s (%s)", text, others)
}

// keep records a comparison.
func keep(t testing.TB, r Record) {
	t.Helper()
	if j, ok := t.(judge); ok {
		j.record(r)
		return
	}
	r.write(t)
}

// Named returns the test with errors that begin with the name of what they are about.
func Named(t testing.TB, name string) testing.TB { return &named{t, name} }

type named struct {
	testing.TB
	name string
}

func (n *named) Errorf(format string, args ...any) {
	n.Helper()
	n.TB.Errorf("%s: %s", n.name, fmt.Sprintf(format, args...))
}

func (n *named) Fatalf(format string, args ...any) {
	n.Helper()
	n.TB.Fatalf("%s: %s", n.name, fmt.Sprintf(format, args...))
}

func (n *named) excuse(text, others string) { excuse(n.TB, n.name+": "+text, others) }
func (n *named) record(r Record)            { keep(n.TB, r) }
