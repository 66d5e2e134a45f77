// SPDX-License-Identifier: Apache-2.0

package engine

import "github.com/kernscope/kernscope/collector"

// Status says how a collector fares.
type Status string

// The statuses of a collector.
const (
	// Running means attached and read without error.
	Running Status = "running"
	// Unsupported means this machine lacks something the collector needs.
	Unsupported Status = "unsupported"
	// Failed means the kernel refused what it should support, or reading
	// the collector's maps failed.
	Failed Status = "failed"
)

// Problem is why a collector does not run.
type Problem struct {
	Status Status
	// Reason in one line of plain words.
	Reason string
	// Remedy is what the user can do; "" if nothing is known.
	Remedy string
	// Detail is the verifier's log, if that is the reason.
	Detail string
}

// Rejection is an alternative that was not taken.
type Rejection struct {
	// Program is "" for a source.
	Program string `json:"program,omitempty"`
	Attach  string `json:"attach"`
	Reason  string `json:"reason"`
}

// HookState says which alternative of a hook is taken on this kernel.
type HookState struct {
	Name string `json:"name"`
	// AnyOf are the places that would serve, best first.
	AnyOf []string `json:"any_of"`
	// Program is the program taken, "" if there is none: nothing serves, or
	// a source of the kernel's own counts does.
	Program string `json:"program,omitempty"`
	// Attach is where it is attached, as section names say it,
	// "tp_btf/sys_enter", or the source, "/proc/vmstat"; "" if nothing serves.
	Attach   string      `json:"attach,omitempty"`
	Rejected []Rejection `json:"rejected,omitempty"`
	// Without says of a hook that is absent what is not observed.
	Without string `json:"without,omitempty"`

	source *collector.Source // the one taken
}

// State is what is known of a collector at one time.
type State struct {
	Collector string `json:"collector"`
	Status    Status `json:"status"`
	Reason    string `json:"reason,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
	Detail    string `json:"-"`
	// Adopted means that it goes on from what an earlier process pinned.
	Adopted bool        `json:"adopted,omitempty"`
	Hooks   []HookState `json:"hooks,omitempty"`
	// Absent are the optional hooks that have no place on this machine.
	Absent []HookState `json:"absent,omitempty"`
}
