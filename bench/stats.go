// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
)

// quantile is the q-quantile of the values, between neighbours in proportion;
// not a number if there are none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// Over is what a variant adds to an event by the clock, in ns: for each round
// the difference to the same round with nothing attached.
func (r *Result) Over(v variant) []float64 {
	over := make([]float64, len(r.PerEvent[v]))
	for i, t := range r.PerEvent[v] {
		over[i] = t - r.PerEvent[without][i]
	}
	return over
}

// RunsPerEvent is how often programs of the variant ran for one event.
func (r *Result) RunsPerEvent(v variant) float64 {
	var runs float64
	for _, p := range r.Programs[v] {
		runs += p.Runs
	}
	return runs / r.Events[v]
}

// PerRun is what the kernel's statistics say of one run of an empty program,
// in ns, which is the statistics' own cost.
func (r *Result) PerRun() float64 {
	return median(r.Inside[withEmpty]) / r.RunsPerEvent(withEmpty)
}

// Net is the time inside the variant's programs for one event, without what
// the statistics themselves take, in ns.
func (r *Result) Net(v variant) float64 {
	return median(r.Inside[v]) - r.RunsPerEvent(v)*r.PerRun()
}

// Cost is what a variant adds to an event, in ns: by the clock, and where that
// tells nothing, the net time inside the programs.
func (r *Result) Cost(v variant) float64 {
	if r.Case.OnlyInside {
		return r.Net(v)
	}
	return median(r.Over(v))
}

// NetRun is the net time of one run of a program, in ns.
func (r *Result) NetRun(p program) float64 { return p.Seconds*1e9/p.Runs - r.PerRun() }

// Rare says that a program of the collector ran too seldom for its time to mean
// anything.
func (r *Result) Rare(p program) bool { return p.Runs < r.Events[withOurs]/100 }
