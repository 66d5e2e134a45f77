// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"log/slog"
	"testing"

	"github.com/kernscope/kernscope/internal/attach"
)

// TestLateReadingIsNoNews checks that a scrape which gives up on a collector
// does not change its state if it has stopped running meanwhile. One that waits
// would not be followed any more if it failed.
func TestLateReadingIsNoNews(t *testing.T) {
	late := &attach.Problem{Reason: "reading has not ended"}
	for before, after := range map[Status]Status{
		Running: Failed, Failed: Failed, Waiting: Waiting, Stopped: Stopped, Unsupported: Unsupported,
	} {
		s := status{logger: slog.New(slog.DiscardHandler), state: State{Status: before}}
		if s.read(late); s.get().Status != after {
			t.Errorf("%s became %s, want %s", before, s.get().Status, after)
		}
	}
}

// TestGuard checks that a panic beside a reading is the collector's failure, and that it leaves the
// collector to others.
func TestGuard(t *testing.T) {
	u := &unit{status: status{logger: slog.New(slog.DiscardHandler), state: State{Status: Waiting}}}
	well := u.guard("closing", func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		panic("here")
	})
	if s := u.status.get(); well || s.Status != Failed || s.Reason != "closing: panic: here" {
		t.Errorf("state %+v, well: %v", s, well)
	}
	if !u.mu.TryLock() {
		t.Error("the collector is locked")
	}
}
