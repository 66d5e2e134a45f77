// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

const errorsTotal = "ebpf_syscall_errors_total"

// Errors are counted by what user space saw; success is none.
func TestErrorsByErrno(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			exactly(t, func(t *trial) {
				e := kerneltest.Run(t, kerneltest.OnlySuffix(Spec(), v.suffix), "errors")
				before := kerneltest.Read(t, e)
				made := makeCalls(calls)
				after := kerneltest.Read(t, e)
				want := make(map[string]int)
				for o, n := range made {
					if o.errno == 0 {
						continue
					}
					want[o.name] += n
					errno := unix.ErrnoName(o.errno)
					got := counted(before, after, errorsTotal, "syscall="+o.name, "errno="+errno)
					t.Logf("%-24s %-7s made %4d, counted %4d", o.name, errno, n, got)
					v.accuracy(t, errorsTotal, "calls of "+o.name+" that fail with "+errno, got, t.named(n, o.name))
				}
				if len(want) < 4 {
					t.Errorf("only %d calls failed: %v", len(want), want)
				}
				// Nothing of theirs under another errno.
				for o := range made {
					kerneltest.Check(t, o.name+": errors in all", sum(before, after, errorsTotal+"{syscall="+o.name+","), t.named(want[o.name], o.name))
				}
				after.Lost(t)
			})
		})
	}
}

// Errors that find the table full are counted under "other" and as lost, and
// the sum over all rows stays that of a table with room.
func TestErrorTableFull(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			spec := kerneltest.OnlySuffix(Spec(), v.suffix)
			roomy := kerneltest.Run(t, spec, "errors")
			spec.Load = func() (*ebpf.CollectionSpec, error) {
				obj, err := loadSyscall()
				if err == nil {
					obj.Maps[syscallMapSyscallErrors].MaxEntries = 3 // one is the reserved row
				}
				return obj, err
			}
			tight := kerneltest.Run(t, spec, "errors")

			// Other tasks fail all the time, so the tight table's sum is
			// held between those of the other, read within and without.
			without := kerneltest.Read(t, roomy)
			before := kerneltest.Read(t, tight)
			within := kerneltest.Read(t, roomy)
			made := makeCalls(calls)
			withinAfter := kerneltest.Read(t, roomy)
			after := kerneltest.Read(t, tight)
			withoutAfter := kerneltest.Read(t, roomy)

			least := sum(within, withinAfter, errorsTotal)
			most := sum(without, withoutAfter, errorsTotal)
			got := sum(before, after, errorsTotal)
			t.Logf("errors: %d, table with room %d to %d", got, least, most)
			if got < least || got > most {
				t.Errorf("%d errors in all rows, want %d to %d", got, least, most)
			}

			failed, rows := 0, 0
			for o, n := range made {
				if o.errno != 0 {
					failed += n
					rows += counted(before, after, errorsTotal, "syscall="+o.name, "errno="+unix.ErrnoName(o.errno))
				}
			}
			other := []string{"syscall=other", "errno=other"}
			lost := []string{"collector=syscall", "reason=map_full"}
			if got := counted(before, after, errorsTotal, other...); got < failed-rows {
				t.Errorf("%d errors under other, want at least %d", got, failed-rows)
			}
			// Losses are read after rows, so the next reading holds them.
			total := kerneltest.Read(t, tight)
			if l, o := after.Value("kernscope_lost_events_total", lost...), total.Value(errorsTotal, other...); l > o {
				t.Errorf("%v errors were lost, later only %v under other", l, o)
			}
			if o, l := after.Value(errorsTotal, other...), after.Value("kernscope_lost_events_total", lost...); o > l {
				t.Errorf("%v errors under other, later only %v lost", o, l)
			}
			entries := after.Value("kernscope_map_entries", "collector=syscall", "map="+syscallMapSyscallErrors)
			if entries != 3 {
				t.Errorf("%v entries in a table of 3", entries)
			}
		})
	}
}

// sum is by how much all samples whose names start so grew together.
func sum(before, after kerneltest.Numbers, prefix string) int {
	var total float64
	for key, s := range after {
		if strings.HasPrefix(key, prefix) {
			total += s.Value - before[key].Value
		}
	}
	return int(total)
}
