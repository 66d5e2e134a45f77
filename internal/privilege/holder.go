// SPDX-License-Identifier: Apache-2.0

// Package privilege names the capabilities of this process, gives them up, and
// takes those that it holds back again for moments, on one thread.
//
// A user id of 0 stays 0: without capabilities, root is an ordinary user who
// happens to own root's files, and can open those that their owner may open.
package privilege

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Holder gives capabilities up and takes the held ones again for moments. Its
// zero value, and a nil one, stand for a process that has given nothing up.
type Holder struct {
	dropped atomic.Pointer[dropped] // nil before Drop
}

// dropped is what a [Holder] knows of a process that gave capabilities up.
type dropped struct {
	kept, held []cap.Value
	denied     []Denied
}

// Do runs f with the capabilities in effect, as far as the process holds them,
// and returns f's error. The kernel decides whether what is held is enough: if
// it does not permit something to f, the error also says what was not held and
// why. An unknown name is an error, and f is not run.
//
// Before [Holder.Drop], and where nothing asked for is held or all of it is
// kept, f runs as it would without Do. Else f runs on another thread, which is
// the only one that is raised, and Do waits. So:
//   - A goroutine that f starts has no capability.
//   - What the caller set for its thread, such as a network namespace, does not
//     hold for f.
//   - f may lock the thread and end without unlocking it, if it leaves the thread
//     in a state that no other code should see. Then Go ends the thread.
//   - If f panics, Do panics with a [*Panic] after the thread is lowered.
//   - If f hangs, this call of Do hangs, with its thread raised; others do not.
//     The caller who cannot wait calls Do on a goroutine of its own.
//
// A file or a socket keeps the capabilities that were in effect when it was
// opened, and some of its operations ask for them again, of the file or of the
// thread. f should therefore open what it uses, and use it to the end.
func (h *Holder) Do(capabilities []string, f func() error) error {
	asked, err := parse(capabilities)
	if err != nil {
		return err
	}
	if h == nil || h.dropped.Load() == nil {
		return f()
	}
	d := h.dropped.Load()
	raise, lacking := d.choose(asked)
	if len(raise) == 0 {
		return d.explain(f(), lacking)
	}
	end := onThread(raise, f)
	switch {
	case end.panicked != nil:
		panic(end.panicked)
	case end.exited:
		runtime.Goexit()
	}
	return d.explain(end.err, lacking)
}

// choose returns which of the held capabilities serve as the asked ones, and
// which asked ones are neither held nor kept.
func (d *dropped) choose(asked []cap.Value) (raise, lacking []cap.Value) {
	for _, wanted := range asked {
		if _, ok := standIn(wanted, d.kept); ok {
			continue
		}
		v, ok := standIn(wanted, d.held)
		switch {
		case !ok:
			lacking = append(lacking, wanted)
		case !slices.Contains(raise, v):
			raise = append(raise, v)
		}
	}
	return raise, lacking
}

// explain adds to a refusal what was lacking and why.
func (d *dropped) explain(err error, lacking []cap.Value) error {
	if len(lacking) == 0 || !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES) {
		return err
	}
	var reasons []string
	for _, v := range lacking {
		why := "this process did not hold it back"
		i := slices.IndexFunc(d.denied, func(n Denied) bool {
			wanted, ok := value(n.Capability)
			return ok && wanted == v
		})
		if i >= 0 {
			why = d.denied[i].Why
		}
		reasons = append(reasons, fmt.Sprintf("%v: %s", v, why))
	}
	return fmt.Errorf("%w (without %s)", err, strings.Join(reasons, "; "))
}
