// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Kept is a capability that stays in effect after [Holder.Drop].
type Kept struct {
	// Name is the kernel's, in lower case.
	Name string
	// Reason says in words why the capability was not dropped.
	Reason string
}

// String returns the name and the reason.
func (k Kept) String() string { return k.Name + " (" + k.Reason + ")" }

// Plan is what [Holder.Drop] leaves of the capabilities.
type Plan struct {
	// Keep names those that stay in effect.
	Keep []string
	// Hold are those that [Holder.Do] may raise.
	Hold []Need
	// Forbid names what forbids holding, such as a flag; "" is nothing.
	Forbid string
	// Works does what the process will do from now on with nothing but Keep
	// in effect, such as reading a map.
	Works func() error
}

// Outcome is what is left of the capabilities after [Holder.Drop].
type Outcome struct {
	Kept   []Kept
	Held   []Held
	Denied []Denied
}

// Drop gives up every capability but those that the plan keeps or holds, for
// good and in every thread: from the effective, permitted, inheritable and
// ambient sets, from the bounding set if the process has CAP_SETPCAP, and with
// no_new_privs set, so that no program it starts gains any either. The kept
// capabilities stay effective. The held ones are permitted only: they are not
// in the bounding set, so that root's programs do not get them, where they can
// be taken out of it.
//
// Whether a process may go on reading BPF maps without CAP_BPF depends on the
// kernel. Since Linux 5.19 (commit c8644cd0efe7, "bpf: refine
// kernel.unprivileged_bpf_disabled behaviour") it may, through descriptors it
// already has; before, every bpf(2) call needs the capability where
// kernel.unprivileged_bpf_disabled is not 0. So Drop asks the kernel: it calls
// p.Works with nothing but p.Keep in effect. If that returns EPERM, CAP_BPF, or
// CAP_SYS_ADMIN where that does not help, is kept as well, and the outcome says
// so. It is kept rather than held because every scrape reads every map.
//
// A name in p.Keep that is unknown or not possessed, or an unknown one in
// p.Hold, is an error, and nothing is changed. After any other error the
// process is between two states and should end. A need that the process cannot
// meet is no error: the outcome says so.
//
// Drop is called once. It takes capabilities away from the work of other
// goroutines, that of [Holder.Do] included: only p.Works should run.
func (h *Holder) Drop(p Plan) (Outcome, error) {
	asked, err := parse(p.Keep)
	if err != nil {
		return Outcome{}, err
	}
	possessed := raised(cap.GetProc(), cap.Permitted)
	if lacking := without(asked, possessed); lacking != nil {
		return Outcome{}, fmt.Errorf("keeping %s: this process does not have it; it has %s",
			strings.Join(names(lacking), ", "), list(possessed))
	}
	values, _, denied, err := p.hold(possessed, asked)
	if err != nil {
		return Outcome{}, err
	}
	if _, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return Outcome{}, fmt.Errorf("setting no_new_privs: %w", err)
	}
	h.dropped.Store(&dropped{asked, values, denied}) // for p.Works, which may call Do
	required, err := require(possessed, asked, p.Works)
	if err != nil {
		return Outcome{}, err
	}
	kept := slices.Concat(asked, required)
	values, held, denied, err := p.hold(possessed, kept)
	if err != nil {
		return Outcome{}, err
	}
	if err := shrinkBounding(possessed, kept); err != nil {
		return Outcome{}, err
	}
	// An ambient capability is lost with the inheritable one.
	if err := set(slices.Concat(kept, values), kept); err != nil {
		return Outcome{}, fmt.Errorf("dropping capabilities: %w", err)
	}
	h.dropped.Store(&dropped{kept, values, denied})
	out := Outcome{Held: held, Denied: denied}
	for _, v := range asked {
		out.Kept = append(out.Kept, Kept{v.String(), "asked for"})
	}
	for _, v := range required {
		out.Kept = append(out.Kept, Kept{v.String(), "this kernel lets no process read BPF maps without it"})
	}
	return out, nil
}

// require finds the capability, if any, that works needs beyond those asked
// for. It leaves the permitted set as it was.
func require(held, asked []cap.Value, works func() error) ([]cap.Value, error) {
	candidates := slices.DeleteFunc([]cap.Value{cap.BPF, cap.SYS_ADMIN}, func(v cap.Value) bool {
		return !slices.Contains(held, v) || slices.Contains(asked, v)
	})
	var required []cap.Value
	for {
		if err := set(held, slices.Concat(asked, required)); err != nil {
			return nil, fmt.Errorf("lowering capabilities: %w", err)
		}
		err := works()
		switch {
		case err == nil:
			return required, nil
		case !errors.Is(err, syscall.EPERM) || len(candidates) == 0:
			return nil, fmt.Errorf("working with the capabilities %s: %w", list(slices.Concat(asked, required)), err)
		}
		required, candidates = candidates[:1], candidates[1:]
	}
}

// shrinkBounding drops all but the final capabilities from the bounding set,
// where the process may.
func shrinkBounding(held, final []cap.Value) error {
	if !slices.Contains(held, cap.SETPCAP) {
		return nil
	}
	if err := set(held, []cap.Value{cap.SETPCAP}); err != nil {
		return fmt.Errorf("raising cap_setpcap: %w", err)
	}
	for v := range cap.MaxBits() {
		if slices.Contains(final, v) {
			continue
		}
		if err := cap.DropBound(v); err != nil {
			return fmt.Errorf("dropping %v from the bounding set: %w", v, err)
		}
	}
	return nil
}

// set gives every thread these permitted and effective capabilities and no
// inheritable ones.
func set(permitted, effective []cap.Value) error {
	s := cap.NewSet()
	err := errors.Join(
		s.SetFlag(cap.Permitted, true, permitted...),
		s.SetFlag(cap.Effective, true, effective...),
	)
	if err != nil {
		return err
	}
	return s.SetProc()
}

// without returns the values that are not in the others.
func without(values, others []cap.Value) []cap.Value {
	var rest []cap.Value
	for _, v := range values {
		if !slices.Contains(others, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// list writes capabilities for a message.
func list(values []cap.Value) string {
	if len(values) == 0 {
		return "none"
	}
	return strings.Join(names(values), ", ")
}
