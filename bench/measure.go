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

// Effort says how much is measured.
type Effort struct {
	// Rounds is the number of rounds by the clock, StatRounds the number by the kernel's
	// statistics. In a round, every variant has one turn.
	Rounds, StatRounds int
	// Divisor divides the number of events of a turn.
	Divisor int
	// Starts is how often the exporter is started, Scrapes how often it is scraped.
	Starts, Scrapes int
}

// Result is what the rounds of a case measured.
type Result struct {
	Case *Case
	// PerEvent is the time of an event in ns, for each variant and round by the clock.
	PerEvent [variants][]float64
	// Inside is the time in ns that one event spends inside a variant's programs, for each round by
	// the statistics. Programs is what each program did in all these rounds, and Events is their
	// number of events. All three include the events of other processes.
	Inside   [variants][]float64
	Programs [variants]map[string]program
	Events   [variants]float64
	// Turns is the number of turns. Repeated is how many of them were discarded and repeated,
	// because their count was wrong.
	Turns, Repeated int
}

// trial is a case that is being measured.
type trial struct {
	machine *kernel.Machine
	c       *Case
	load    workload
	taken   []string // the programs that the collector takes on this machine
	result  Result
}

// measure measures a case. The variants take turns, so that whatever else the machine does affects
// all of them alike. The rounds by the clock come first, then those by the kernel's statistics,
// which cost time themselves.
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

// look finds out which programs the collector attaches on this machine.
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

// byClock measures the rounds by the clock, with n events in a turn.
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

// byStatistics measures the rounds by the kernel's statistics, with n events in a turn.
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

// addPrograms adds what the programs of a variant did in a turn of n events. If no run of a program
// serves several events, the program that ran most says how many events there were, including those
// of other processes.
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

// seen is what a turn of a variant measured.
type seen struct {
	took     time.Duration
	programs map[string]program
}

// errCount says that the count of a variant is wrong.
var errCount = errors.New("wrong count")

// patience is how often a turn is repeated. The kernel may not deliver an event to a program, for
// example while the event interrupts the same program. Then the time of the turn is not the time of
// its events.
const patience = 3

// exactTurn repeats a turn until its count is right, and fails if it does not become so.
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

// turn attaches a variant, makes n events, and detaches the variant. It fails with errCount if the
// variant did not count the events.
func (t *trial) turn(ctx context.Context, v variant, n int) (seen, error) {
	var s seen
	a, err := t.attach(v)
	if err != nil {
		return s, fmt.Errorf("attaching: %w", err)
	}
	defer a.close()
	if _, err := t.load.run(n / 8); err != nil { // warms caches and makes the rows
		return s, err
	}
	// The machine's count is read around the variant's count, which is read around the workload. So
	// the variant must have counted at least n and at most what the machine counted.
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
		return s, fmt.Errorf("%w: the variant counted %d events, but there were %d to %d", errCount, counted, n, most)
	}
	s.programs = after.programs
	for name, p := range before.programs {
		s.programs[name] = program{Runs: s.programs[name].Runs - p.Runs, Seconds: s.programs[name].Seconds - p.Seconds}
	}
	return s, nil
}
