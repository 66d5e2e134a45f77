// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
)

// TestStartThatIsEnded has sources that never open. Whoever ends the start waits for none, and no
// other is tried.
func TestStartThatIsEnded(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var tried atomic.Int32
	release := make(chan struct{})
	defer close(release)
	var specs []collector.Spec
	for n := range 100 {
		specs = append(specs, opened(fmt.Sprint("hangs", n), func(context.Context) (collector.Reader, error) {
			tried.Add(1)
			end()
			<-release // whatever its context says
			return nil, nil
		}))
	}
	e := engine.NewUntil(ctx, config(t, specs...))
	e.Close()
	if n := tried.Load(); n != 1 {
		t.Errorf("%d collectors were tried", n)
	}
}
