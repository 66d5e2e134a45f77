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
	// all of them, which had so many Events. Those of other processes are in it.
	Inside   [variants][]float64
	Programs [variants]map[string]program
	Events   [variants]float64
	// Turns, and those that were repeated because the count was not right.
	Turns, Repeated int
}

// trial is a case under way.
type trial struct {
	machine *kernel.Machine
	c       *Case
	load    workload
	taken   []string // the programs that the collector takes on this machine
	result  Result
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
	t := &trial{machine: machine, c: c, load: load, result: Result{Case: c}}
	if err := t.look(); err != nil {
		return nil, err
	}
	n := c.Events / effort.Divisor
	if !c.OnlyInside {
		if err := t.byClock(ctx, effort.Rounds, n); err != nil {
			return nil, err
		}
	}
	if err := t.byStatistics(ctx, effort.StatRounds, n); err != nil {
		return nil, fmt.Errorf("with statistics: %w", err)
	}
	return &t.result, nil
}

// look finds out which programs the collector takes.
func (t *trial) look() error {
	a, err := t.attach(withOurs)
	if err != nil {
		return fmt.Errorf("attaching: %w", err)
	}
	defer a.close()
	for _, hook := range a.engine.States()[0].Hooks {
		t.taken = append(t.taken, hook.Programs...)
	}
	return nil
}

func (t *trial) byClock(ctx context.Context, rounds, n int) error {
	r := &t.result
	for range rounds {
		for _, v := range t.c.variants() {
			seen, err := t.exactTurn(ctx, v, n)
			if err != nil {
				return fmt.Errorf("%s: %w", v, err)
			}
			r.PerEvent[v] = append(r.PerEvent[v], float64(seen.took.Nanoseconds())/float64(n))
		}
	}
	return nil
}

func (t *trial) byStatistics(ctx context.Context, rounds, n int) error {
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("switching them on: %w", err)
	}
	defer statistics.Close()
	for range rounds {
		for _, v := range t.c.variants()[withEmpty:] {
			seen, err := t.exactTurn(ctx, v, n)
			if err == nil {
				err = t.result.addPrograms(v, seen.programs, n)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", v, err)
			}
		}
	}
	return nil
}

// addPrograms adds what the programs of a variant did in a turn of n events.
// Where no program runs more than once for an event, the one that ran most
// says how many events there were, other processes' included.
func (r *Result) addPrograms(v variant, programs map[string]program, n int) error {
	var all program
	events := float64(n)
	if r.Programs[v] == nil {
		r.Programs[v] = make(map[string]program)
	}
	for name, p := range programs {
		sum := r.Programs[v][name]
		r.Programs[v][name] = program{Runs: sum.Runs + p.Runs, Seconds: sum.Seconds + p.Seconds}
		all.Runs += p.Runs
		all.Seconds += p.Seconds
		if !r.Case.Batched {
			events = max(events, p.Runs)
		}
	}
	if all.Runs == 0 || !r.Case.Batched && all.Runs < float64(n) {
		return fmt.Errorf("programs ran %.0f times for %d events", all.Runs, n)
	}
	r.Inside[v] = append(r.Inside[v], all.Seconds*1e9/events)
	r.Events[v] += events
	return nil
}

// seen is what a turn of a variant showed.
type seen struct {
	took     time.Duration
	programs map[string]program
}

// errCount says that a variant's count is not right.
var errCount = errors.New("wrong count")

// patience is how often a turn is repeated. The kernel may withhold an event
// from a program, for example while it interrupts the same program; then the
// turn's time is not that of its events.
const patience = 3

// exactTurn is a turn whose count is right.
func (t *trial) exactTurn(ctx context.Context, v variant, n int) (seen, error) {
	for try := 0; ; try++ {
		t.result.Turns++
		s, err := t.turn(ctx, v, n)
		if !errors.Is(err, errCount) || try == patience {
			return s, err
		}
		t.result.Repeated++
	}
}

// turn attaches a variant, makes n events, and detaches it. It is an error if
// the variant did not count them.
func (t *trial) turn(ctx context.Context, v variant, n int) (seen, error) {
	var s seen
	a, err := t.attach(v)
	if err != nil {
		return s, fmt.Errorf("attaching: %w", err)
	}
	defer a.close()
	if _, err := t.load.run(n / 8); err != nil { // caches get warm, rows are made
		return s, err
	}
	// What the machine counts encloses what the variant counts, which
	// encloses the workt.load.
	totalBefore, err := t.load.total()
	bounded := !errors.Is(err, errNoTotal)
	if err != nil && bounded {
		return s, err
	}
	before, err := a.read(ctx)
	if err != nil {
		return s, err
	}
	if s.took, err = t.load.run(n); err != nil {
		return s, err
	}
	after, err := a.read(ctx)
	if err != nil {
		return s, err
	}
	totalAfter, err := t.load.total()
	if err != nil && bounded {
		return s, err
	}
	counted, most := after.events-before.events, totalAfter-totalBefore
	if a.counts != nil && (counted < uint64(n) || bounded && counted > most) {
		return s, fmt.Errorf("%w: %d events where there were %d to %d", errCount, counted, n, most)
	}
	s.programs = after.programs
	for name, p := range before.programs {
		s.programs[name] = program{Runs: s.programs[name].Runs - p.Runs, Seconds: s.programs[name].Seconds - p.Seconds}
	}
	return s, nil
}
