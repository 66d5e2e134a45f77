// SPDX-License-Identifier: Apache-2.0

// Package collector is the contract between the collectors and everything
// that uses them. A collector is a [Spec]: a value that names its kernel
// programs, the maps they fill, and what each number in those maps means. It
// has no behaviour; the engine, doctor, list and the generators all read the
// same value, so there is nothing a built-in collector can do that a
// user-defined one cannot.
package collector

import (
	"context"
	"time"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/internal/label"
	"github.com/kernscope/kernscope/internal/metric"
)

// Spec describes one collector.
type Spec struct {
	// Name identifies the collector: its flag, the "collector" label of
	// kernscope's own metrics and, without dashes, its folder and the prefix
	// of its maps.
	Name string
	// Help says in one sentence what is measured.
	Help string
	// Port is where the collector listens when it is served alone.
	Port uint16
	// Load parses the embedded object; it touches no kernel.
	Load func() (*ebpf.CollectionSpec, error)
	// Hooks are the places of the kernel the collector attaches to.
	Hooks []Hook
	// Tables are the C arrays that are indexed by a system call's number.
	Tables []SyscallTable
	// Options are the collector's own switches.
	Options []Option
	// Maps describes maps that need more than their definition in C.
	Maps []Map
	// Metrics are the families the collector serves.
	Metrics []Metric
	// Capabilities are what the collector needs besides CAP_BPF and
	// CAP_PERFMON, on some machines at least.
	Capabilities []Capability
	// Events are what the recorder reads.
	Events []Event
	// Records, Alerts and Panels are what the rules and the dashboard are
	// made of.
	Records []Record
	Alerts  []Alert
	Panels  []Panel
}

// Hook is one place to attach, with alternatives in order of preference. The
// engine takes the first that this kernel can run; the others never reach the
// verifier.
type Hook struct {
	// Name is what the hook observes, in the user's words: "completion".
	Name string
	// Source, where there is one and it counts the right thing on this
	// kernel, is taken before all programs.
	Source *Source
	// Programs are names of programs in the object, best first. Type and
	// target follow from each program's section.
	Programs []string
	// When names the option without which the hook is left out; "" is always.
	// Unless names one with which it is.
	When   string
	Unless string
	// For names a program of an earlier hook, which needs this one too: the
	// hook is left out where that program was not taken. "" is always.
	For string
	// Optional lets the collector run where the kernel has none of the places.
	Optional bool
	// Without says what an optional hook's absence means, in the user's words:
	// "major faults that swap in have no latency". "" is nothing.
	Without string
}

// Source is where the kernel itself counts, so that no program has to.
type Source struct {
	// From says where, in the user's words: "/proc/vmstat".
	From string
	// Enumerator of the kernel's named Enum: kernels without it count
	// something else there, Otherwise says what. "" is right on all kernels.
	Enum       string
	Enumerator string
	Otherwise  string
	// Metrics are the names of the spec's metrics that it serves. Where it
	// is taken, they are not read from their maps.
	Metrics []string
	// Read returns the samples of each metric, by its name. It runs at every
	// scrape, one call at a time.
	Read func(ctx context.Context) (map[string][]metric.Sample, error)
}

// SyscallTable is a "const volatile" C array of bytes, indexed by the number of
// a system call, that is set before load. A call that the architecture does not
// have is left out.
type SyscallTable struct {
	// Variable is the name in C.
	Variable string
	// Values are the elements by the call's name; the others are zero.
	Values map[string]uint8
	// Compat means the numbers that 32-bit programs use.
	Compat bool
}

// Option is a switch of one collector, off by default, given on the command
// line as --collector.<collector>.<name>.
type Option struct {
	Name string
	Help string
	// Variable is the "const volatile bool" in C that the switch sets; ""
	// if the switch only selects hooks and metrics.
	Variable string
}

// Map adds to a map's definition in C.
type Map struct {
	Name string
	// Other reserves rows for what finds the map full: one whose key is all
	// zero or, if Other names an enum member of the key, one per enumerator.
	// Programs count there what did not fit; the labels of such a row read
	// "other", except the enum's.
	Other string
	// Loss, if set, is the reason for which what is counted in the rows of
	// Other is served as lost. Else the object's own "losses" may say so.
	Loss string
	// Size, if set, is asked at load how many rows the map needs on this
	// machine; else the definition in C says.
	Size func() (uint32, error)
	// Owners says whose the rows are, where owners come and go.
	Owners *Owners
}

// Owners are what a map's rows belong to, such as cgroups. Rows of an owner that
// is gone are given up: what they counted moves to rows that differ from them
// only in the owner, which reads "gone". These take half of the map at most;
// then the members that are not [Map.Other] read "other". The map is a per-CPU
// hash. No program may count for an owner that is gone, but for one that began
// to run while the owner was there.
type Owners struct {
	// Field is the member of the key that identifies the owner. No owner has
	// all its bits set.
	Field string
	// As makes what knows the owners.
	As func() label.Owners
}

// Kind is the type of a metric family.
type Kind int

// The kinds of metric.
const (
	Counter Kind = iota + 1
	// Histogram is of durations: the value is the struct hist of
	// bpf/hist.bpf.h.
	Histogram
	// LinearHistogram is of small whole numbers: the value is an array, the
	// element i counts observations of i.
	LinearHistogram
	// Ratio is a gauge: what Part had of the growth of Whole in the last full
	// Window. If Whole did not grow, there is no sample.
	Ratio
)

// Metric is one family, read from one map or a [Source].
type Metric struct {
	// Name of the family. The name of a histogram of durations ends in its
	// unit, which the engine appends: the unit is the user's choice.
	Name string
	// Help is a sentence. That of a Ratio goes on with its window, which the
	// engine appends.
	Help string
	Kind Kind
	// Map whose rows become samples; "" if only a source serves it.
	Map string
	// Field is the member of the map's value that holds the number; "" is
	// the whole value. The map's type information says where it is.
	Field string
	// Highest is the last finite bucket of a LinearHistogram.
	Highest int
	// Part names the counter that a Ratio is of, Whole those whose sum it is
	// to; samples of equal labels belong together. Window is its time.
	Part   string
	Whole  []string
	Window time.Duration
	// Labels of each sample; a Ratio has those of its Part.
	Labels []Label
	// When names the option without which the family is left out, Unless one
	// with which it is.
	When   string
	Unless string
}

// Index as a [Label.Field] is the position in a metric whose Field is an array.
const Index = "[]"

// Label turns a member of a map's key into a label.
type Label struct {
	// Name of the label.
	Name string
	// Field is a member of the key; "" is the whole key, [Index] the
	// position in an array.
	Field string
	// Fixed is the label's value where it is the same for all rows.
	Fixed string
	// As makes the decoder of the raw member; nil for an enum, whose value
	// becomes the enumerator's name in lower case without the prefix that
	// all its enumerators share, and for an owner, whom the map's Owners name.
	As func() label.Decoder
}

// Event describes a record that the collector's programs emit for a slow
// occurrence.
type Event struct {
	// Ring is the ring buffer map the records arrive on.
	Ring string
	// Threshold is the C variable above which an event is recorded, in ns.
	Threshold string
}
