// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/common/expfmt"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
)

// Scrape is what a scrape of all collectors costs inside the process.
type Scrape struct {
	Steps []Step
	// Collectors is the number of collectors in each status.
	Collectors map[engine.Status]int
	// Samples is the number of samples in all families; a histogram is one.
	Samples int
	// MapBytes is the kernel memory of each collector's maps.
	MapBytes map[string]float64
}

// Step is a part of a scrape.
type Step struct {
	Name   string
	Result testing.BenchmarkResult
}

// scrape attaches all collectors. Then it measures how long reading their maps takes, and writing
// what was read.
func scrape(ctx context.Context, machine *kernel.Machine) (*Scrape, error) {
	e := newEngine(machine, builtin.Collectors(), nil)
	defer e.Close()
	found, err := e.Families(ctx, nil)
	if err != nil {
		return nil, err
	}
	s := &Scrape{Collectors: make(map[engine.Status]int), MapBytes: Series{Name: "kernscope_map_bytes"}.by("collector", found)}
	for _, state := range e.States() {
		s.Collectors[state.Status]++
	}
	for _, f := range found {
		s.Samples += len(f.Samples)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"read the maps", func() error {
			_, err := e.Families(ctx, nil)
			return err
		}},
		{"write text", func() error { return write(found, expfmt.NewFormat(expfmt.TypeTextPlain)) }},
		{"write protobuf", func() error { return write(found, expfmt.NewFormat(expfmt.TypeProtoDelim)) }},
	}
	for _, step := range steps {
		var failed error
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if failed = step.do(); failed != nil {
					b.FailNow()
				}
			}
		})
		if failed != nil {
			return nil, fmt.Errorf("measuring a scrape: %s: %w", step.name, failed)
		}
		s.Steps = append(s.Steps, Step{step.name, result})
	}
	return s, nil
}

// write gathers families and writes them to nowhere, as the server writes them to a scraper.
func write(found metric.Families, format expfmt.Format) error {
	gathered, err := found.Gather()
	if err != nil {
		return err
	}
	encoder := expfmt.NewEncoder(io.Discard, format)
	for _, f := range gathered {
		if err := encoder.Encode(f); err != nil {
			return err
		}
	}
	return nil
}
