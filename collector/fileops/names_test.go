// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// nobody is a user without rights.
const nobody = 65534

// reading reads under so many names with the prefix, once under each, on a thread
// of the user's.
func reading(t *testing.T, user uintptr, prefix string, names int) {
	t.Helper()
	kerneltest.As(t, prefix, func() {
		if user != 0 {
			if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, user, user, user); err != 0 {
				t.Errorf("becoming another user: %v", err)
				return
			}
		}
		for i := range names {
			kerneltest.Rename(t, fmt.Sprintf("%s-%d", prefix, i))
			unix.RawSyscall(unix.SYS_READ, invalid, 0, 0)
		}
	})
}

// namesOf returns how many names with the prefix are served, and what they read.
func namesOf(n kerneltest.Numbers, prefix string) (names, sum int) {
	for r, reads := range rowsOf(n) {
		if strings.HasPrefix(r.process, prefix+"-") && r.operation == "read" {
			names++
			sum += reads
		}
	}
	return names, sum
}

// all is what was counted, under whatever name.
func all(n kerneltest.Numbers) (sum int) {
	for _, count := range rowsOf(n) {
		sum += count
	}
	return sum
}

// TestEmptyName: a thread may have no name, and no table is full then.
func TestEmptyName(t *testing.T) {
	for name, spec := range variants() {
		t.Run(name, func(t *testing.T) {
			e := kerneltest.Run(t, spec)
			before := count(t, e, "", "read")
			kerneltest.ReadAs(t, "", 5000)
			if got := count(t, e, "", "read") - before; got < 5000 || got > 5100 {
				t.Errorf("%v reads counted, 5000 made", got)
			}
			n := kerneltest.Read(t, e)
			n.Lost(t)
			if full := n.Value("kernscope_table_full", "collector=fileops", "table=fileops_calls"); full != 0 {
				t.Error("the table is said to be full")
			}
		})
	}
}

// TestReservedNames: no thread can count where fileops counts what has no name.
func TestReservedNames(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	for _, name := range []string{"other", "gone"} {
		kerneltest.ReadAs(t, name, 100)
		n := kerneltest.Read(t, e)
		if got := rowsOf(n)[row{fmt.Sprintf(`\x%02x%s`, name[0], name[1:]), "read"}]; got != 100 {
			t.Errorf("%d reads of %s, 100 made", got, name)
		}
		if got := rowsOf(n)[row{name, "read"}]; got != 0 {
			t.Errorf("%d reads count as %s", got, name)
		}
	}
}

// TestWorkAfterStorms: what fills the table makes room for who comes after it, and
// no count is lost on the way, whenever it is read. A collector with room for all
// says what all is.
func TestWorkAfterStorms(t *testing.T) {
	kerneltest.LeaveCgroups(t)
	roomy, e := kerneltest.Run(t, kerneltest.WithRows(Spec(), 40_000)), kerneltest.Run(t, Spec())
	// Others count as well: the sum is held between those of the other collector,
	// read within and without.
	without := kerneltest.Read(t, roomy)
	before := kerneltest.Read(t, e)
	within := kerneltest.Read(t, roomy)
	var ended atomic.Bool
	var threads kerneltest.Threads
	threads.Go(t, -1, func() { // readings come at any time
		for !ended.Load() {
			if _, err := e.Families(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 5 {
		reading(t, 0, kerneltest.Own(fmt.Sprintf("s%d", i)), 2000)
	}
	ended.Store(true)
	threads.Wait()
	reading(t, 0, kerneltest.Own("last"), 2000)
	kerneltest.Read(t, e)
	work := kerneltest.Own("w")
	reading(t, 0, work, 100)
	withinAfter := kerneltest.Read(t, roomy)
	n := kerneltest.Read(t, e)
	withoutAfter := kerneltest.Read(t, roomy)
	missed := n.Missed(before) + withoutAfter.Missed(without)
	least, most := all(withinAfter)-all(within)-missed, all(withoutAfter)-all(without)+missed
	if names, sum := namesOf(n, work); names != 100 || sum != 100 {
		t.Errorf("after the storms, %d names have read %d times, 100 did", names, sum)
	}
	if got := all(n) - all(before); got < least || got > most {
		t.Errorf("%d counted, and %d to %d where there is room", got, least, most)
	}
	if series := len(rowsOf(n)); series >= 500 {
		t.Errorf("%d series: there are to be less than 500", series)
	}
	if rowsOf(n)[row{"gone", "read"}] == 0 {
		t.Error("no name was given up: the test shows nothing")
	}
}
