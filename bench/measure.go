// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
)

// Effort is how long is measured.
type Effort struct {
	// Rounds by the clock and by the kernel's statistics. In a round every
	// variant has one turn.
	Rounds, StatRounds int
	// Divisor of the events of a turn.
	Divisor int
	// Starts of the exporter, and scrapes of it.
	Starts, Scrapes int
}

// Result is what a case's rounds measured.
type Result struct {
	Case *Case
	// PerEvent is the time of an event in ns, of each variant in each round
	// by the clock.
	PerEvent [variants][]float64
	// Inside is the time inside a variant's programs for one event in ns, in
	// each round by the statistics, and Programs what each program did in
	// all of them, which had so many Events.
	Inside   [variants][]float64
	Programs [variants]map[string]program
	Events   float64
	// Turns, and those that were repeated because the count was not right.
	Turns, Repeated int
}

// measure lets the variants of a case take turns, so that what else the
// machine does meets all of them alike: first in rounds by the clock, then in
// rounds by the kernel's statistics, which cost time themselves.
func measure(ctx context.Context, machine *kernel.Machine, c *Case, effort Effort) (*Result, error) {
	load, err := c.Workload()
	if err != nil {
		return nil, fmt.Errorf("starting the workload: %w", err)
	}
	defer load.close()
	r := &Result{Case: c}
	n := c.Events / effort.Divisor
	if !c.OnlyInside {
		for range effort.Rounds {
			for v := range variants {
				t, err := r.turn(ctx, machine, load, v, n)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", v, err)
				}
				r.PerEvent[v] = append(r.PerEvent[v], float64(t.took.Nanoseconds())/float64(n))
			}
		}
	}
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("switching on BPF statistics: %w", err)
	}
	defer statistics.Close()
	for range effort.StatRounds {
		for v := withEmpty; v < variants; v++ {
			t, err := r.turn(ctx, machine, load, v, n)
			if err == nil {
				err = r.addPrograms(v, t.programs, n)
			}
			if err != nil {
				return nil, fmt.Errorf("%s, with statistics: %w", v, err)
			}
		}
		r.Events += float64(n)
	}
	return r, nil
}

// addPrograms adds what the programs of a variant did in a turn of n events.
func (r *Result) addPrograms(v variant, programs map[string]program, n int) error {
	var all program
	if r.Programs[v] == nil {
		r.Programs[v] = make(map[string]program)
	}
	for name, p := range programs {
		sum := r.Programs[v][name]
		r.Programs[v][name] = program{Runs: sum.Runs + p.Runs, Seconds: sum.Seconds + p.Seconds}
		all.Runs += p.Runs
		all.Seconds += p.Seconds
	}
	if all.Runs < float64(n) {
		return fmt.Errorf("programs ran %.0f times for %d events", all.Runs, n)
	}
	r.Inside[v] = append(r.Inside[v], all.Seconds*1e9/float64(n))
	return nil
}

// turned is what a variant's turn yielded.
type turned struct {
	took     time.Duration
	programs map[string]program
}

// errCount says that a variant's count is not right.
var errCount = errors.New("wrong count")

// patience is how often a turn is repeated. The kernel may withhold an event
// from a program, for example while it interrupts the same program; then the
// turn's time is not that of its events.
const patience = 3

func (r *Result) turn(ctx context.Context, machine *kernel.Machine, load workload, v variant, n int) (turned, error) {
	for try := 0; ; try++ {
		r.Turns++
		t, err := turn(ctx, machine, r.Case, load, v, n)
		if !errors.Is(err, errCount) || try == patience {
			return t, err
		}
		r.Repeated++
	}
}

// turn attaches a variant, makes n events, and detaches it. It is an error if
// the variant did not count them.
func turn(ctx context.Context, machine *kernel.Machine, c *Case, load workload, v variant, n int) (turned, error) {
	var t turned
	a, err := attach(machine, c, v, load.labels())
	if err != nil {
		return t, fmt.Errorf("attaching: %w", err)
	}
	defer a.close()
	if _, err := load.run(n / 8); err != nil { // caches get warm, rows are made
		return t, err
	}
	// What the machine counts encloses what the variant counts, which
	// encloses the workload.
	totalBefore, err := load.total()
	if err != nil {
		return t, err
	}
	before, err := a.read(ctx)
	if err != nil {
		return t, err
	}
	if t.took, err = load.run(n); err != nil {
		return t, err
	}
	after, err := a.read(ctx)
	if err != nil {
		return t, err
	}
	totalAfter, err := load.total()
	if err != nil {
		return t, err
	}
	seen, most := after.events-before.events, totalAfter-totalBefore
	if a.counts != nil && (seen < uint64(n) || seen > most) {
		return t, fmt.Errorf("%w: %d events where there were %d to %d", errCount, seen, n, most)
	}
	t.programs = after.programs
	for name, p := range before.programs {
		t.programs[name] = program{Runs: t.programs[name].Runs - p.Runs, Seconds: t.programs[name].Seconds - p.Seconds}
	}
	return t, nil
}
