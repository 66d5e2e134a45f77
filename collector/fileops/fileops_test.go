// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/label"
)

// invalid is -1 where a descriptor is expected: the call fails, which is
// counted like one that works.
const invalid = ^uintptr(0)

const operations = "ebpf_file_ops_total"

// count is what was counted for a process.
func count(t *testing.T, e *engine.Engine, process, operation string) float64 {
	t.Helper()
	return kerneltest.Read(t, e).Value(operations, "process="+process, "operation="+operation)
}

// variants are the programs for a kernel's own types and for those of a file.
func variants() map[string]collector.Spec {
	return map[string]collector.Spec{"preferred": Spec(), "raw": kerneltest.OnlySuffix(Spec(), "_raw")}
}

// TestEverySystemCall makes a prime number of each call that opens, reads or
// writes, and of some that do none of these, in a thread of its own name.
func TestEverySystemCall(t *testing.T) {
	for name, spec := range variants() {
		t.Run(name, func(t *testing.T) {
			e := kerneltest.Run(t, spec)
			process := fmt.Sprintf("own-%011d", os.Getpid()) // 15 letters, as long as a name can be
			want := make(map[string]float64)
			kerneltest.As(t, process, func() {
				calls := slices.Sorted(func(yield func(string) bool) {
					for call := range does() {
						if !yield(call) {
							return
						}
					}
				})
				primes := []int{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67}
				for i, call := range calls {
					number, ok := label.SyscallNumber(call)
					if !ok {
						continue // another architecture's
					}
					for range primes[i] {
						unix.RawSyscall6(uintptr(number), invalid, 0, 0, invalid, 0, 0)
					}
					for bit, operation := range []string{"open", "read", "write"} {
						if does()[call]&(1<<bit) != 0 {
							want[operation] += float64(primes[i])
						}
					}
				}
				for range 71 {
					unix.RawSyscall(unix.SYS_FSYNC, invalid, 0, 0)
					unix.RawSyscall(unix.SYS_LSEEK, invalid, 0, 0)
				}
			})
			for operation, n := range want {
				got := count(t, e, process, operation)
				if got != n {
					t.Errorf("%s: %v counted, %v made", operation, got, n)
				}
				if name == "preferred" {
					kerneltest.Accuracy(t, kerneltest.Row{
						Metric: operations, Source: "the test's own count",
						Workload: "every system call that does it, each a prime number of times: " + operation,
					}, got, kerneltest.Exactly(n))
				}
			}
			if want["open"] == 0 || want["read"] == 0 || want["write"] == 0 {
				t.Errorf("the test made %v", want)
			}
			kerneltest.Read(t, e).Lost(t)
		})
	}
}

// TestRealFiles counts what works, not only what fails, and threads apart by
// their names.
func TestRealFiles(t *testing.T) {
	e := kerneltest.Run(t, Spec())
	path := t.TempDir() + "/file"
	for i, name := range []string{"one", "two"} {
		kerneltest.As(t, kerneltest.Own(name), func() {
			for range 13 + i {
				fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600)
				if err != nil {
					t.Error(err)
					return
				}
				for range 3 {
					if _, err := unix.Pwrite(fd, []byte("x"), 0); err != nil {
						t.Error(err)
					}
				}
				if n, err := unix.Read(fd, make([]byte, 8)); n != 1 || err != nil {
					t.Errorf("%d bytes read: %v", n, err)
				}
				_ = unix.Close(fd)
			}
		})
	}
	for i, name := range []string{"one", "two"} {
		for operation, n := range map[string]int{"open": 13 + i, "write": 3 * (13 + i), "read": 13 + i} {
			kerneltest.Accuracy(t, kerneltest.Row{
				Metric: operations, Source: "the test's own count",
				Workload: fmt.Sprintf("opening, writing and reading a file in thread %q: %s", name, operation),
			}, count(t, e, kerneltest.Own(name), operation), kerneltest.Exactly(float64(n)))
		}
	}
}

// TestStormOfNames forks ten thousand processes with a name each. The series
// stay within the cap, and nothing is lost: what did not fit is in the rows for
// others and among the losses. A collector with room for all names says what
// other programs added to those rows.
func TestStormOfNames(t *testing.T) {
	const processes = 10_000
	prefix := kerneltest.Own("s") + "-"
	calls := map[string]kerneltest.Call{
		"open":  {Times: 2, Number: unix.SYS_OPENAT, Args: [3]uintptr{invalid}},
		"read":  {Times: 5, Number: unix.SYS_READ, Args: [3]uintptr{invalid}},
		"write": {Times: 3, Number: unix.SYS_WRITE, Args: [3]uintptr{invalid}},
	}
	kerneltest.LeaveCgroups(t)
	roomy := kerneltest.Run(t, kerneltest.WithRows(Spec(), 6*processes))
	e := kerneltest.Run(t, Spec())
	for _, c := range calls { // what this process does has rows of its own
		unix.RawSyscall(c.Number, c.Args[0], c.Args[1], c.Args[2])
	}
	first, before := kerneltest.Read(t, roomy), kerneltest.Read(t, e)
	kerneltest.Storm(t, processes, prefix, slices.Collect(maps.Values(calls))...)
	after := kerneltest.Read(t, e)
	last := kerneltest.Read(t, roomy)

	missed := after.Missed(before) + last.Missed(first)
	rows, all, old, began := rowsOf(after), rowsOf(last), rowsOf(first), rowsOf(before)
	if len(rows) >= 500 {
		t.Errorf("%d series: there are to be less than 500", len(rows))
	}
	named, others := make(map[string]int), make(map[string]int)
	for r, n := range all {
		own, fits := rows[r]
		switch {
		case !strings.HasPrefix(r.process, prefix):
			// It may have found room only when the table was read.
			others[r.operation] += max(0, n-old[r]-(own-began[r]))
		case n > calls[r.operation].Times || n < calls[r.operation].Times-missed || fits && own > n+missed || fits && own < n-missed:
			t.Errorf("%v: %d counted, with room for all %d", r, own, n)
		default:
			named[r.operation] += own
		}
	}
	for operation, c := range calls {
		rest := row{"other", operation}
		other := rows[rest] - began[rest]
		if named[operation] == 0 || other == 0 {
			t.Errorf("%s: %d by name, %d as other", operation, named[operation], other)
		}
		made := c.Times * processes
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: operations, Source: "the test's own count",
			Workload: "10,000 processes with a name each, forked by two at a time, named and other together: " + operation,
		}, named[operation]+other, kerneltest.Truth[int]{
			Least: made, Most: made + others[operation], Below: missed,
			Why: "New names of other programs did not fit either. " + kerneltest.Recursion,
		})
	}
	if lost := int(after.Value("kernscope_lost_events_total", "collector=fileops", "reason=map_full")); lost != ofOthers(rows) {
		t.Errorf("%d counted as other, %d as lost", ofOthers(rows), lost)
	}
}

type row struct{ process, operation string }

// rowsOf is what was counted without cgroups.
func rowsOf(n kerneltest.Numbers) map[row]int {
	rows := make(map[row]int)
	for key, sample := range n {
		if labels, ok := strings.CutPrefix(key, operations+"{process="); ok {
			process, operation, _ := strings.Cut(strings.TrimSuffix(labels, "}"), ",operation=")
			rows[row{process, operation}] = int(sample.Value)
		}
	}
	return rows
}

// ofOthers is what the rows for what did not fit hold.
func ofOthers(rows map[row]int) (sum int) {
	for r, n := range rows {
		if r.process == "other" {
			sum += n
		}
	}
	return sum
}
