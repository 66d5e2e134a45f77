// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestMapFull has room for two rows beside those for what does not fit. The third
// disk's I/O must be there all the same, and be said to be misplaced.
func TestMapFull(t *testing.T) {
	spec := diskio.Spec()
	for i := range spec.Tables {
		spec.Tables[i].Size = func() (uint32, error) { return 5 + 2, nil }
	}
	exactly(t, func(t *trial) {
		e := kerneltest.Run(t, spec)
		kernel, ours := everything(t, e)
		var last disk
		const n = 21
		for range 3 {
			d, _ := loop(t, 1<<20)
			f := open(t, d, os.O_RDONLY|unix.O_DIRECT)
			block := aligned(t, 4096)
			for i := range int64(n) {
				if _, err := f.ReadAt(block, i*4096); err != nil {
					t.Fatal(err)
				}
			}
			last = d
		}
		kernelAfter, oursAfter := everything(t, e)
		hidden := t.hidden.Hidden()
		less := func(of uint64) uint64 { return uint64(hidden.Events(int(of), perStint, t.Last)) }
		kerneltest.Check(t, "reads of all disks", reads(oursAfter)-reads(ours),
			kerneltest.Exactly(kernelAfter-kernel).Beside(less(kernelAfter-kernel), 0, hidden.String()))
		equal(t, "reads of the third disk in a row of its own", collected(oursAfter, last.name)["read"].ios, 0)
		var misplaced uint64
		for _, n := range collected(oursAfter, "other") {
			misplaced += n.ios
		}
		kerneltest.Check(t, "I/Os under device=\"other\"", min(misplaced, n),
			kerneltest.Exactly[uint64](n).Beside(less(n), 0, hidden.String()))
		equal(t, "misplaced I/Os said to be lost",
			oursAfter.Value("kernscope_lost_events_total", "collector=diskio", "reason=map_full"), float64(misplaced))
	})
}

// everything is the kernel's number of reads of all disks, and ours at the same
// time: a machine's other disks do not rest for long, and some never.
func everything(t *trial, e *engine.Engine) (uint64, kerneltest.Numbers) {
	t.Helper()
	for range 500 {
		before, idle := kernelReads(t)
		ours := kerneltest.Read(t, e)
		after, stillIdle := kernelReads(t)
		if idle && stillIdle && before == after {
			return before, ours
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Void("the machine's disks do not come to rest")
	return 0, nil
}

// kernelReads is the kernel's number of reads of all disks, and whether
// nothing was under way on any.
func kernelReads(t testing.TB) (uint64, bool) {
	t.Helper()
	disks, err := os.ReadDir("/sys/block")
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	idle := true
	for _, d := range disks {
		stat, err := os.ReadFile(disk{d.Name()}.sysfs("stat"))
		if err != nil {
			return 0, false // it has just gone
		}
		field := strings.Fields(string(stat))
		n += parseStat(t, field)["read"].ios
		idle = idle && field[8] == "0"
	}
	return n, idle
}

// reads is our number of reads of all disks.
func reads(numbers kerneltest.Numbers) uint64 {
	var n uint64
	for key, sample := range numbers {
		if strings.HasPrefix(key, latency+"{") && strings.Contains(key, "operation=read") {
			n += sample.Hist.Count()
		}
	}
	return n
}
