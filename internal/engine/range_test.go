// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/syscall"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestSetKeepsTheRange sets an option beyond its range: that is refused, and the collector runs on.
func TestSetKeepsTheRange(t *testing.T) {
	spec := opened("ranged", func(context.Context) (collector.Reader, error) {
		return reader{answersSeven, func() error { return nil }}, nil
	})
	spec.Options[0].Default, spec.Options[0].Range = 9, collector.Range{Least: 8, Most: 10}
	e := engine.New(config(t, spec))
	defer e.Close()
	for value, fits := range map[int]bool{7: false, 8: true, 10: true, 11: false} {
		err := e.Set(t.Context(), "ranged", "number", value)
		if (err == nil) != fits || !fits && !strings.Contains(err.Error(), "8 to 10") {
			t.Errorf("%d: error %v", value, err)
		}
		if s := e.States()[0]; s.Status != engine.Running {
			t.Errorf("after %d it is %s: %s", value, s.Status, s.Reason)
		}
	}
}

// TestSizeOfATableThatIsNotThere runs syscall without errors. How many of these have rows is no
// matter to it.
func TestSizeOfATableThatIsNotThere(t *testing.T) {
	e := engine.New(config(t, kerneltest.WithRows(syscall.Spec(), 5)))
	defer e.Close()
	if s := e.States()[0]; s.Status != engine.Running {
		t.Errorf("syscall is %s: %s", s.Status, s.Reason)
	}
}
