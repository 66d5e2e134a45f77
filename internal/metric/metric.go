// SPDX-License-Identifier: Apache-2.0

// Package metric holds metric families as plain values. It knows nothing about BPF: the engine
// fills the values, and client_golang writes them.
package metric

import "time"

// Type is the type of a family.
type Type int

// The types of family.
const (
	Counter Type = iota + 1
	Gauge
	Histogram
)

// Family is a named set of samples with the same label names.
type Family struct {
	Name   string
	Help   string
	Type   Type
	Labels []string
	// Created is when the counters of the family were zero. The zero time means that this is
	// unknown. Gauges have no such time.
	Created time.Time
	Samples []Sample
}

// Sample is one row of a family.
type Sample struct {
	// Labels are the label values, in the order of the family's label names.
	Labels []string
	// Value is the value of a counter or gauge.
	Value float64
	// Hist or Linear is the value of a histogram.
	Hist   *Hist
	Linear *Linear
}
