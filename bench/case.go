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
	// Event is the unit of the times: "system call" means ns per system call.
	Event string
	// Text says what the workload does, and what the textbook stores and where.
	Text string

	Spec    collector.Spec
	Options []string
	// Counted is the series in which the collector counts the events.
	Counted Series

	// Textbook is nil if there is none for the collector.
	Textbook        *collector.Spec
	TextbookCounted Series

	Workload newWorkload
	// Events of one turn.
	Events int
	// OnlyInside says that only the time inside the programs counts: kernel threads do so much of
	// the work that the clock of the workload's threads says nothing.
	OnlyInside bool
	// Batched says that one run of a program may serve several events.
	Batched bool
	Goals   []Goal
}

// variants returns the variants of the case, in the order of their turns.
func (c *Case) variants() []variant {
	all := []variant{without, withEmpty, withOurs}
	if c.Textbook != nil {
		all = append(all, withTextbook)
	}
	return all
}

// Goal is a limit for the cost of a collector.
type Goal struct {
	// Over is the variant by whose cost the collector's cost is divided. With the variant without,
	// the limit is for the cost itself, in ns.
	Over  variant
	Limit float64
	// Why explains the result, if it needs an explanation.
	Why string
}

// variant says what is attached in a turn.
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
