// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
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
	raw := Spec()
	raw.Hooks = slices.Clone(raw.Hooks)
	raw.Hooks[0].Programs = []string{"fileops_enter_raw"}
	return map[string]collector.Spec{"preferred": Spec(), "raw": raw}
}

// TestEverySystemCall makes a prime number of each call that opens, reads or
// writes, and of some that do none of these, in a thread of its own name.
func TestEverySystemCall(t *testing.T) {
	for name, spec := range variants() {
		t.Run(name, func(t *testing.T) {
			e := kerneltest.Run(t, spec)
			const process = "fifteen-letters" // as long as a name can be
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
		kerneltest.As(t, name, func() {
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
			}, count(t, e, name, operation), kerneltest.Exactly(float64(n)))
		}
	}
}

// TestStormOfNames gives a thread ten thousand names. The series stay within
// the cap; what did not fit is in the row for others and among the losses.
func TestStormOfNames(t *testing.T) {
	const names = 10_000
	small := Spec()
	load := small.Load
	small.Load = func() (*ebpf.CollectionSpec, error) {
		obj, err := load()
		if err == nil {
			obj.Maps["fileops_calls"].MaxEntries = 64
		}
		return obj, err
	}
	for _, tc := range []struct {
		name string
		spec collector.Spec
		cap  int
	}{{"as shipped", Spec(), 1024}, {"small", small, 64}} {
		t.Run(tc.name, func(t *testing.T) {
			e := kerneltest.Run(t, tc.spec)
			kerneltest.As(t, "before-storm", func() {
				for i := range names {
					kerneltest.Rename(t, fmt.Sprintf("storm-%d", i))
					unix.RawSyscall(unix.SYS_PREAD64, invalid, 0, 0)
				}
			})
			numbers := kerneltest.Read(t, e)
			later := kerneltest.Read(t, e)
			series, stormed := 0, 0.0
			for key, sample := range numbers {
				if !strings.HasPrefix(key, "ebpf_file_ops_total{") {
					continue
				}
				series++
				if strings.Contains(key, "process=storm-") {
					stormed += sample.Value
					if sample.Value != 1 {
						t.Errorf("%s = %v, want 1", key, sample.Value)
					}
				}
			}
			others := ofOthers(numbers)
			// Names that the machine's other programs bring meanwhile do
			// not fit either: there may be more others than the storm's.
			if stormed+others < names {
				t.Errorf("%v counted by name and %v as other, of %d", stormed, others, names)
			}
			if series > tc.cap || stormed == 0 || others == 0 {
				t.Errorf("%d series (at most %d fit), %v by name, %v as other", series, tc.cap, stormed, others)
			}
			// The losses are read after the rows, and before the later rows.
			lost := numbers.Value("kernscope_lost_events_total", "collector=fileops", "reason=map_full")
			if lost < others || lost > ofOthers(later) {
				t.Errorf("%v to %v counted as other, %v as lost", others, ofOthers(later), lost)
			}
		})
	}
}

// ofOthers is what the rows for what did not fit hold.
func ofOthers(n kerneltest.Numbers) (sum float64) {
	for _, operation := range []string{"open", "read", "write"} {
		sum += n.Value("ebpf_file_ops_total", "process=other", "operation="+operation)
	}
	return sum
}
