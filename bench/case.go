// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/kernscope/kernscope/collector"
)

// Case compares a collector with nothing, with empty programs and with the
// textbook, on one workload. A collector without one in [Cases] is listed as not
// measured.
type Case struct {
	Name string
	// Event is what the times are per: "system call".
	Event string
	// Text says in a sentence what the workload does and what the textbook's
	// collector remembers.
	Text string

	Spec    collector.Spec
	Options []string
	// Counted is the series in which the collector counts the events.
	Counted Series

	// Textbook may be nil: there is none for the collector.
	Textbook        *collector.Spec
	TextbookCounted Series

	Workload newWorkload
	// Events of one turn.
	Events int
	// OnlyInside says that threads of the kernel do so much of the work that
	// the clock tells nothing, and only the time inside the programs counts.
	OnlyInside bool
	// Batched says that a program's run may be for several events.
	Batched bool
	Goals   []Goal
}

// variants are those of the case, in the order of their turns.
func (c *Case) variants() []variant {
	all := []variant{without, withEmpty, withOurs}
	if c.Textbook != nil {
		all = append(all, withTextbook)
	}
	return all
}

// Goal is a limit for what a collector costs.
type Goal struct {
	// Over is the variant whose cost the collector's is divided by; without
	// means the cost itself, in ns.
	Over  variant
	Limit float64
	// Why explains the result, if there is something to explain.
	Why string
}

// variant is one of what takes turns.
type variant int

// The variants of a case, in the order of their turns.
const (
	without variant = iota
	withEmpty
	withOurs
	withTextbook
	variants
)

func (v variant) String() string {
	switch v {
	case without:
		return "nothing"
	case withEmpty:
		return "empty program"
	case withOurs:
		return "kernscope"
	case withTextbook:
		return "textbook"
	}
	return fmt.Sprintf("variant %d", int(v))
}
