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

// workload makes the same event happen in the kernel many times.
type workload interface {
	// run makes at least n events and returns the time that they took. Each workload says which
	// clock that is.
	run(n int) (time.Duration, error)
	// total returns how many such events there have been, whoever made them. A right count never
	// grows by more than total does. If nobody else counts the events, the error is errNoTotal.
	total() (uint64, error)
	// labels returns the labels of the events' series.
	labels() map[string]string
	close() error
}

// errNoTotal says that a count has no upper bound.
var errNoTotal = errors.New("nobody else counts these events")

// newWorkload prepares a workload. One goroutine calls all its methods.
type newWorkload func() (workload, error)

// onOneCPU runs the functions at the same time, each on a separate thread, all on one CPU. It
// returns the CPU time that the threads used together. That includes the switches between them, and
// excludes what other processes do meanwhile.
func onOneCPU(functions ...func() error) (time.Duration, error) {
	cpu, err := aCPU()
	if err != nil {
		return 0, err
	}
	// Go's garbage collection would be measured, too.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	type result struct {
		used time.Duration
		err  error
	}
	results := make(chan result)
	for _, function := range functions {
		go func() {
			// The thread is never unlocked, so it ends with the goroutine. Its binding to the CPU
			// ends with it.
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

// aCPU returns the last of the CPUs that this process may use, because the first CPUs serve most
// interrupts.
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
