// SPDX-License-Identifier: Apache-2.0

// Command bench measures what kernscope costs, and writes docs/OVERHEAD.md. It measures the cost
// per event beside nothing, beside empty programs and beside the textbook, the cost of a scrape,
// and the memory. It needs root. Run it from the top of the repository: go run ./bench.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kernel"
)

// fullEffort returns the effort for the committed page.
func fullEffort() Effort {
	return Effort{Rounds: 15, StatRounds: 7, Divisor: 1, Starts: 11, Scrapes: 200}
}

// quickEffort returns the effort that only shows that everything works.
func quickEffort() Effort {
	return Effort{Rounds: 1, StatRounds: 1, Divisor: 8, Starts: 1, Scrapes: 3}
}

func main() {
	quick := flag.Bool("quick", false, "run every case once, only to see that it works, and print the page")
	output := flag.String("output", "docs/OVERHEAD.md", "file to write the page to; \"-\" prints it")
	only := flag.String("only", "", "measure only the cases whose names contain this, and print the page")
	flag.Parse()
	effort := fullEffort()
	if *quick {
		effort = quickEffort()
	}
	if *quick || *only != "" {
		*output = "-"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, effort, *only, *output); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench measures everything and writes the page to the file named output; "-" is standard output.
func bench(ctx context.Context, effort Effort, only, output string) error {
	begin := time.Now()
	machine, err := describeMachine()
	if err != nil {
		return fmt.Errorf("describing the machine: %w", err)
	}
	questions, err := kernel.Open("")
	if err != nil {
		return err
	}
	r := &Report{Machine: machine, Date: begin, Effort: effort, Quick: effort.Divisor > 1}
	if err := r.measure(ctx, questions, only); err != nil {
		return err
	}
	if only == "" {
		step("scrape")
		if r.Scrape, err = scrape(ctx, questions); err != nil {
			return fmt.Errorf("measuring a scrape: %w", err)
		}
		step("exporter")
		if r.Exporter, err = measureExporter(ctx, effort); err != nil {
			return fmt.Errorf("measuring the exporter: %w", err)
		}
	}
	r.Machine.LoadAfter, r.Took = load(), time.Since(begin)
	var page bytes.Buffer
	if err := r.write(&page); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	if output == "-" {
		_, err = os.Stdout.Write(page.Bytes())
		return err
	}
	return os.WriteFile(output, page.Bytes(), 0o644)
}

// measure measures, one after the other, the cases whose names contain the text only.
func (r *Report) measure(ctx context.Context, machine *kernel.Machine, only string) error {
	// The threads of a workload block in the kernel without telling Go's scheduler, so each one
	// occupies one of the scheduler's processors.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.NumCPU())))
	for _, c := range Cases() {
		if !strings.Contains(c.Name, only) {
			continue
		}
		step(c.Name)
		result, err := measure(ctx, machine, &c, r.Effort)
		switch {
		case err == nil:
			r.Results = append(r.Results, result)
		case errors.Is(err, errUnsupported):
			r.Skipped = append(r.Skipped, Skip{c.Name, err.Error()})
		default:
			return fmt.Errorf("measuring %s: %w", c.Name, err)
		}
	}
	if only == "" {
		r.Skipped = append(r.Skipped, unmeasured(builtin.Collectors(), Cases())...)
	}
	return nil
}

// step prints what is measured next.
func step(name string) { fmt.Fprintln(os.Stderr, "measuring", name) }
