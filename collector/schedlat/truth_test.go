// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// waited is how often tasks ran, and how long they waited for it.
type waited struct {
	stints uint64 // pcount
	ns     uint64 // run_delay
}

func (w waited) plus(v waited) waited  { return waited{w.stints + v.stints, w.ns + v.ns} }
func (w waited) minus(v waited) waited { return waited{w.stints - v.stints, w.ns - v.ns} }

// ofTask is what a task has waited, by its folder in /proc.
func ofTask(folder string) (waited, error) {
	turns, err := kerneltest.ReadTurns(folder + "/schedstat")
	return waited{turns.Stints, turns.Waited}, err
}

// ofThreads is the sum over threads of this process.
func ofThreads(t testing.TB, tids []int) waited {
	t.Helper()
	var sum waited
	for _, tid := range tids {
		w, err := ofTask(fmt.Sprintf("/proc/self/task/%d", tid))
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.plus(w)
	}
	return sum
}

// census is what all tasks of the machine have waited.
type census struct {
	living map[string]waited // the tasks that are alive
	forks  int               // tasks ever made
	ready  int               // tasks that run or wait for it
	total  waited            // of all tasks, the dead included
	queues bool              // whether the kernel keeps that (CONFIG_SCHEDSTATS)
}

func takeCensus(t testing.TB) census {
	t.Helper()
	c := census{living: make(map[string]waited)}
	c.forks, c.ready = taskCounts(t)
	c.total, c.queues = runQueues(t)
	for _, folder := range kerneltest.Tasks(t) {
		if w, err := ofTask(folder); err == nil { // else it has died
			c.living[folder] = w
		}
	}
	_, ready := taskCounts(t)
	c.ready = max(c.ready, ready)
	return c
}

// most is what was added after an earlier census. It is unknown if a task has
// died meanwhile, unless the kernel has counted that, too.
func (c census) most(old census) (added waited, known bool) {
	if c.queues {
		return c.total.minus(old.total), true
	}
	met := 0
	for path, w := range c.living {
		if before, ok := old.living[path]; ok {
			w = w.minus(before)
			met++
		}
		added = added.plus(w)
	}
	born := len(c.living) - met
	return added, met == len(old.living) && born >= c.forks-old.forks
}

// least is what the living have added after an earlier census, without those
// that had not run between two censuses before that.
func (c census) least(old, first, start census) waited {
	var added waited
	for path, w := range c.living {
		if at, ok := start.living[path]; ok && at.stints == first.living[path].stints {
			continue
		}
		added = added.plus(w.minus(old.living[path]))
	}
	return added
}

// runQueues is the sum over all run queues, which do not count the idle task.
func runQueues(t testing.TB) (waited, bool) {
	t.Helper()
	text, err := os.ReadFile("/proc/schedstat")
	if os.IsNotExist(err) {
		return waited{}, false
	}
	if err != nil {
		t.Fatal(err)
	}
	var sum waited
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		ns, err1 := strconv.ParseUint(fields[8], 10, 64)
		stints, err2 := strconv.ParseUint(fields[9], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("/proc/schedstat has the line %q", line)
		}
		sum = sum.plus(waited{stints, ns})
	}
	return sum, true
}

// taskCounts are the tasks made since boot, and those that are ready to run or
// running now.
func taskCounts(t testing.TB) (forks, ready int) {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nprocesses ")
	if _, err := fmt.Sscanf(rest, "%d\nprocs_running %d", &forks, &ready); err != nil {
		t.Fatal("reading /proc/stat:", err)
	}
	return forks, ready
}
