// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

const (
	// openDeadline is how long opening a source may take.
	openDeadline = 2 * time.Second
	// closeDeadline is how long letting go of one may keep others waiting.
	closeDeadline = time.Second
)

// errHangs means that opening a source is still under way.
var errHangs = errors.New("opening it has not ended")

// guarded is a reader whose calls come one at a time.
type guarded struct {
	mu     sync.Mutex
	reader collector.Reader
}

// Read reads the source, after the call that is under way.
func (g *guarded) Read(ctx context.Context) (map[string][]metric.Sample, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reader.Read(ctx)
}

// Close lets go of the source, after the call that is under way. It does not
// wait for long: that call, or this one, may hang.
func (g *guarded) Close() error {
	done := make(chan error, 1)
	go func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		done <- Safely(g.reader.Close)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(closeDeadline):
		return fmt.Errorf("closing it has not ended after %v", closeDeadline)
	}
}

// openSource opens a source and does not wait for long. What opens later is
// closed. Capabilities are those of a thread, so the goroutine that opens raises
// its own.
func openSource(ctx context.Context, s *collector.Source, privileged func(func() error) error) (collector.Reader, error) {
	if privileged == nil {
		privileged = func(f func() error) error { return f() }
	}
	ctx, cancel := context.WithTimeout(ctx, openDeadline)
	type opened struct {
		reader *guarded
		err    error
	}
	done := make(chan opened)
	go func() {
		defer cancel()
		var o opened
		o.err = Safely(func() error {
			return privileged(func() error {
				reader, err := s.Open(ctx)
				if err == nil && reader == nil {
					err = errors.New("opening it returned no reader")
				}
				if err == nil {
					o.reader = &guarded{reader: reader}
				}
				return err
			})
		})
		select {
		case done <- o:
		case <-ctx.Done():
			if o.reader != nil {
				o.reader.Close()
			}
		}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, o.err
		}
		return o.reader, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w after %v: %w", errHangs, openDeadline, ctx.Err())
	}
}
