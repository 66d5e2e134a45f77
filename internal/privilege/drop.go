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

// Kept is a capability that survived [Drop].
type Kept struct {
	// Name is the kernel's, in lower case.
	Name string
	// Reason says in words why the capability was not dropped.
	Reason string
}

// String returns the name and the reason.
func (k Kept) String() string { return k.Name + " (" + k.Reason + ")" }

// Drop gives up every capability but those in keep, for good and in every
// thread: from the effective, permitted, inheritable and ambient sets, from
// the bounding set if the process has CAP_SETPCAP, and with no_new_privs set,
// so that no program it starts gains any either.
//
// Whether a process may go on reading BPF maps without CAP_BPF depends on the
// kernel. Since Linux 5.19 (commit c8644cd0efe7, "bpf: refine
// kernel.unprivileged_bpf_disabled behaviour") it may, through descriptors it
// already has; before, every bpf(2) call needs the capability where
// kernel.unprivileged_bpf_disabled is not 0. So Drop asks the kernel: works
// must do what the process will do from now on, such as reading a map. It is
// called with nothing but keep in effect. If it returns EPERM, CAP_BPF, or
// CAP_SYS_ADMIN where that does not help, is kept as well, and the result says
// so.
//
// A name in keep that is unknown or not held is an error, and nothing is
// changed. After any other error the process is between two states and should
// end.
func Drop(keep []string, works func() error) ([]Kept, error) {
	asked, err := parse(keep)
	if err != nil {
		return nil, err
	}
	held := raised(cap.GetProc(), cap.Permitted)
	if lacking := without(asked, held); lacking != nil {
		return nil, fmt.Errorf("keeping %s: this process does not have it; it has %s",
			strings.Join(names(lacking), ", "), list(held))
	}
	if _, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return nil, fmt.Errorf("setting no_new_privs: %w", err)
	}
	required, err := require(held, asked, works)
	if err != nil {
		return nil, err
	}
	final := slices.Concat(asked, required)
	if err := shrinkBounding(held, final); err != nil {
		return nil, err
	}
	// An ambient capability is lost with the inheritable one.
	if err := set(final, final); err != nil {
		return nil, fmt.Errorf("dropping capabilities: %w", err)
	}
	var kept []Kept
	for _, v := range asked {
		kept = append(kept, Kept{v.String(), "asked for"})
	}
	for _, v := range required {
		kept = append(kept, Kept{v.String(), "this kernel lets no process read BPF maps without it"})
	}
	return kept, nil
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
