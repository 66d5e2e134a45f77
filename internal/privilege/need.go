// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"fmt"
	"slices"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Need is a capability that this process takes again after [Holder.Drop], for
// moments only.
type Need struct {
	// Capability as in capabilities(7): "CAP_PERFMON".
	Capability string
	// Reason says in words what takes it: "attaching to wireguard when its
	// module is loaded".
	Reason string
	// Cost says in words what does not work without it.
	Cost string
}

// Held is a capability that every thread has in its permitted set and none in
// its effective set, but for the moments of [Holder.Do]. One that several needs
// share is listed once for each reason.
type Held struct {
	// Name is the kernel's, in lower case. It is cap_sys_admin where a process
	// has that instead of cap_bpf or cap_perfmon.
	Name string
	// Reason is that of the need.
	Reason string
}

// String returns the name and the reason.
func (h Held) String() string { return h.Name + " (" + h.Reason + ")" }

// Denied is a need that is not met.
type Denied struct {
	Need
	// Why says in words what is in the way.
	Why string
}

// String returns what is missing, why, and what that costs.
func (d Denied) String() string {
	return fmt.Sprintf("%s (%s): %s: %s", d.Capability, d.Reason, d.Why, d.Cost)
}

// Holds returns which capabilities a [Holder.Drop] of this plan would hold and
// which it could not, as long as it needs to keep none but p.Keep. An unknown
// name is an error.
func (p Plan) Holds() ([]Held, []Denied, error) {
	kept, err := parse(p.Keep)
	if err != nil {
		return nil, nil, err
	}
	_, held, denied, err := p.hold(raised(cap.GetProc(), cap.Permitted), kept)
	return held, denied, err
}

// hold sorts the needs of the plan that the kept capabilities do not meet. The
// values are those of the held.
func (p Plan) hold(permitted, kept []cap.Value) (values []cap.Value, held []Held, denied []Denied, err error) {
	for _, need := range p.Hold {
		wanted, ok := value(need.Capability)
		if !ok {
			return nil, nil, nil, fmt.Errorf("holding %q (%s): unknown capability", need.Capability, need.Reason)
		}
		_, always := standIn(wanted, kept)
		v, has := standIn(wanted, permitted)
		switch {
		case always:
		case !has:
			denied = append(denied, Denied{need, "this process does not have it"})
		case p.Forbid != "":
			denied = append(denied, Denied{need, p.Forbid + " forbids holding it"})
		default:
			if !slices.Contains(values, v) {
				values = append(values, v)
			}
			if h := (Held{v.String(), need.Reason}); !slices.Contains(held, h) {
				held = append(held, h)
			}
		}
	}
	return values, held, denied, nil
}

// standIn returns the capability among the given that serves as the wanted one,
// and whether there is any. CAP_BPF and CAP_PERFMON are parts of CAP_SYS_ADMIN
// (capability.h: bpf_capable, perfmon_capable).
func standIn(wanted cap.Value, given []cap.Value) (cap.Value, bool) {
	if slices.Contains(given, wanted) {
		return wanted, true
	}
	part := wanted == cap.BPF || wanted == cap.PERFMON
	if part && slices.Contains(given, cap.SYS_ADMIN) {
		return cap.SYS_ADMIN, true
	}
	return wanted, false
}
