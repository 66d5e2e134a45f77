// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kernel"
)

// Refusal returns the reason as an error of permission; nil if the problem is
// another.
func (p *Problem) Refusal() error {
	if p == nil || !p.Denied {
		return nil
	}
	return refusal(p.Reason)
}

// refusal is the reason of a problem of permission.
type refusal string

// Error returns the reason.
func (r refusal) Error() string { return string(r) }

// Is reports whether the error is EPERM.
func (r refusal) Is(target error) bool { return target == unix.EPERM }

// refused is an error of permission with what would help.
type refused struct {
	error
	remedy string
}

// Unwrap returns the error as the kernel gave it.
func (r refused) Unwrap() error { return r.error }

// isRefused reports whether the kernel does not permit something.
func isRefused(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

// attaching notes at an error of permission which capabilities attaching took.
func attaching(err error, remedy func() string) error {
	if !isRefused(err) {
		return err
	}
	return refused{err, remedy()}
}

// Reading notes at an error of permission which capabilities reading took, if
// it was not a file's mode that refused it. The process may have had them, and
// given them up after attaching.
func Reading(err error, capabilities ...string) error {
	if !isRefused(err) {
		return err
	}
	if remedy := permitFile(err); remedy != "" || len(capabilities) == 0 {
		return refused{err, remedy}
	}
	return refused{err, fmt.Sprintf("%s; if kernscope gave up what it had, --keep-capabilities=%s keeps it",
		kernel.Grant(capabilities...), strings.ToLower(strings.Join(capabilities, ",")))}
}

// permitting returns what would make the kernel permit what it refused.
func permitting(err error) string {
	var noted refused
	if errors.As(err, &noted) {
		return noted.remedy
	}
	if remedy := permitFile(err); remedy != "" {
		return remedy
	}
	return kernel.Grant("CAP_BPF", "CAP_PERFMON")
}

// permitFile returns what would let this process use the file that it was
// refused; "" if it was not a file's mode that refused it.
func permitFile(err error) string {
	var file *fs.PathError
	if !errors.As(err, &file) || !errors.Is(file, unix.EACCES) {
		return ""
	}
	return fmt.Sprintf("let kernscope's user %s %s, or grant CAP_DAC_OVERRIDE", file.Op, file.Path)
}
