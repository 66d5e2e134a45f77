// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync"
	"time"
)

// readDeadline is how long a scrape waits for one collector. Prometheus gives a
// scrape 10 s unless it is told otherwise.
const readDeadline = 4 * time.Second

// flight is a reading that callers share. One that hangs stays the only one: it
// is waited for until its deadline by the callers that came before, by later
// ones not at all.
type flight struct {
	mu   sync.Mutex
	call *call // under way, or the last
}

type call struct {
	done     chan struct{} // closed when result is there
	result   *reading
	deadline time.Time
}

// join starts a reading unless one is under way.
func (f *flight) join(read func() *reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.call != nil {
		select {
		case <-f.call.done:
		default:
			return
		}
	}
	c := &call{done: make(chan struct{}), deadline: time.Now().Add(readDeadline)}
	f.call = c
	go func() {
		c.result = read()
		close(c.done)
	}()
}

// wait returns the reading, or nil if it has not ended by its deadline. The
// error is that of ctx.
func (f *flight) wait(ctx context.Context) (*reading, error) {
	f.mu.Lock()
	c := f.call
	f.mu.Unlock()
	timer := time.NewTimer(time.Until(c.deadline))
	defer timer.Stop()
	select {
	case <-c.done:
		return c.result, nil
	default:
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return c.result, nil
	case <-timer.C:
		return nil, nil
	}
}
