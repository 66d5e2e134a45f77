// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
)

// quantile returns the q-quantile of the values, interpolated linearly between neighbours. It
// returns NaN if there are no values.
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

// median returns the median of the values.
func median(values []float64) float64 { return quantile(values, 0.5) }

// Over returns what a variant adds to the time of an event by the clock, in ns. For each round it
// is the difference to the same round with nothing attached.
func (r *Result) Over(v variant) []float64 {
	over := make([]float64, len(r.PerEvent[v]))
	for i, t := range r.PerEvent[v] {
		over[i] = t - r.PerEvent[without][i]
	}
	return over
}

// RunsPerEvent returns how often programs of the variant ran for one event.
func (r *Result) RunsPerEvent(v variant) float64 {
	var runs float64
	for _, p := range r.Programs[v] {
		runs += p.Runs
	}
	return runs / r.Events[v]
}

// PerRun returns the time of one run of an empty program by the kernel's statistics, in ns. That is
// what the statistics themselves cost.
func (r *Result) PerRun() float64 {
	return median(r.Inside[withEmpty]) / r.RunsPerEvent(withEmpty)
}

// Net returns the time that one event spends inside the variant's programs, in ns, without what the
// statistics themselves cost.
func (r *Result) Net(v variant) float64 {
	return median(r.Inside[v]) - r.RunsPerEvent(v)*r.PerRun()
}

// Cost returns what a variant adds to the time of an event, in ns. It is the time by the clock or,
// if the clock says nothing about the case, the net time inside the programs.
func (r *Result) Cost(v variant) float64 {
	if r.Case.OnlyInside {
		return r.Net(v)
	}
	return median(r.Over(v))
}

// NetRun returns the net time of one run of a program, in ns.
func (r *Result) NetRun(p program) float64 { return p.Seconds*1e9/p.Runs - r.PerRun() }

// Rare reports whether a program of the collector ran so rarely that its time means nothing.
func (r *Result) Rare(p program) bool { return p.Runs < r.Events[withOurs]/100 }
