// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"

	"github.com/kernscope/kernscope/internal/metric"
)

// Source is where the kernel itself counts, so that no program has to.
type Source struct {
	// From says where, in the user's words: "/proc/vmstat".
	From string
	// Enumerator of the kernel's named Enum: kernels without it count
	// something else there, Otherwise says what. "" is right on all kernels.
	Enum       string
	Enumerator string
	Otherwise  string
	// Metrics are the names of the spec's metrics that it serves. Where it
	// is taken, they are not read from their tables.
	Metrics []string
	// Open returns a reader. An error that is fs.ErrNotExist means that the
	// source is not here, or not yet; any other that it is here and broken, and
	// readings try again.
	Open func(ctx context.Context) (Reader, error)
}

// Reader reads a source. The engine calls Read on one goroutine at a time, and
// waits for it no longer than the context lives: a reader that ignores the
// context loses its metrics until Read returns, and harms no other collector.
// Both Open and Read run with the capabilities that the collector holds in
// effect ([Need]); a goroutine that they start has none.
type Reader interface {
	// Read returns the samples of each metric, by its name. Durations are in
	// nanoseconds.
	Read(ctx context.Context) (map[string][]metric.Sample, error)
	// Close lets go of what the reader holds. If a Read hangs, Close is called
	// meanwhile.
	Close() error
}

// ReadFunc is a [Reader] that holds nothing.
type ReadFunc func(ctx context.Context) (map[string][]metric.Sample, error)

// Read calls the function.
func (f ReadFunc) Read(ctx context.Context) (map[string][]metric.Sample, error) { return f(ctx) }

// Close does nothing.
func (ReadFunc) Close() error { return nil }
