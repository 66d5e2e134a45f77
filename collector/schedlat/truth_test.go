// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// waited is how often tasks ran, and how long they waited for it.
type waited struct {
	stints uint64 // pcount
	ns     uint64 // run_delay
}

func (w waited) plus(v waited) waited  { return waited{w.stints + v.stints, w.ns + v.ns} }
func (w waited) minus(v waited) waited { return waited{w.stints - v.stints, w.ns - v.ns} }

// schedstat reads a task's file: time run, time waited, stints.
func schedstat(path string) (waited, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return waited{}, err
	}
	var run uint64
	var w waited
	if _, err := fmt.Sscan(string(text), &run, &w.ns, &w.stints); err != nil {
		return waited{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return w, nil
}

// ofThreads is the sum over threads of this process.
func ofThreads(t *testing.T, tids []int) waited {
	t.Helper()
	var sum waited
	for _, tid := range tids {
		w, err := schedstat(fmt.Sprintf("/proc/self/task/%d/schedstat", tid))
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

func takeCensus(t *testing.T) census {
	t.Helper()
	c := census{living: make(map[string]waited)}
	c.forks, c.ready = taskCounts(t)
	c.total, c.queues = runQueues(t)
	for _, path := range tasks(t) {
		if w, err := schedstat(path); err == nil { // else it has died
			c.living[path] = w
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
func runQueues(t *testing.T) (waited, bool) {
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

// tasks are the schedstat files of all tasks, kernel threads included.
func tasks(t *testing.T) []string {
	t.Helper()
	processes, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, p := range processes {
		if p.Name()[0] < '0' || p.Name()[0] > '9' {
			continue
		}
		folder := "/proc/" + p.Name() + "/task/"
		threads, err := os.ReadDir(folder)
		if err != nil {
			continue // it has died
		}
		for _, thread := range threads {
			paths = append(paths, folder+thread.Name()+"/schedstat")
		}
	}
	return paths
}

// taskCounts are the tasks made since boot, and those that are ready to run or
// running now.
func taskCounts(t *testing.T) (forks, ready int) {
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
