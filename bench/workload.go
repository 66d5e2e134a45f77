// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// workload makes the kernel do one thing many times.
type workload interface {
	// run makes n events, at least, and returns the time they took; each
	// workload says of which clock.
	run(n int) (time.Duration, error)
	// total is how many such events there ever were, whoever made them: a
	// right count of a while is at most its increase. Where nobody else
	// counts them the error is errNoTotal.
	total() (uint64, error)
	// labels are those of the events, in series that have them.
	labels() map[string]string
	close() error
}

// errNoTotal says that a count has no upper bound.
var errNoTotal = errors.New("nobody else counts these events")

// newWorkload starts a workload, whose methods are called from one goroutine.
type newWorkload func() (workload, error)

// onOneCPU runs the functions at the same time on threads of their own, all on
// one CPU, and returns the CPU time that the threads used together. That
// includes their switching, and excludes what other processes do meanwhile.
func onOneCPU(functions ...func() error) (time.Duration, error) {
	cpu, err := aCPU()
	if err != nil {
		return 0, err
	}
	// A collection of garbage would be measured, too.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	type result struct {
		used time.Duration
		err  error
	}
	results := make(chan result)
	for _, function := range functions {
		go func() {
			// Never unlocked: the thread ends with the goroutine, and with
			// it its binding to the CPU.
			runtime.LockOSThread()
			var r result
			if r.err = unix.SchedSetaffinity(0, cpu); r.err == nil {
				begin := clock(unix.CLOCK_THREAD_CPUTIME_ID)
				r.err = function()
				r.used = clock(unix.CLOCK_THREAD_CPUTIME_ID) - begin
			}
			results <- r
		}()
	}
	var all result
	for range functions {
		r := <-results
		all.used += r.used
		if r.err != nil {
			all.err = r.err
		}
	}
	return all.used, all.err
}

// aCPU is the last of the CPUs this process may use: the first ones serve
// most interrupts.
func aCPU() (*unix.CPUSet, error) {
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("asking for the CPUs this process may use: %w", err)
	}
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			one.Zero()
			one.Set(cpu)
		}
	}
	return &one, nil
}

// clock reads a clock of the kernel that always exists.
func clock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
