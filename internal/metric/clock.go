// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// BootClock tells what the wall clock showed at times of the boot clock. Nobody sets the boot clock.
// If somebody sets the wall clock, the times that it showed become others with it, so none of them
// is ever in the future.
type BootClock struct {
	read   func(clock int32) time.Duration
	booted time.Time // what the wall clock showed at zero, as last asked
}

// NewBootClock returns the machine's.
func NewBootClock() *BootClock { return &BootClock{read: clock} }

func clock(id int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		panic(fmt.Sprintf("reading clock %d: %v", id, err)) // every kernel has both
	}
	return time.Duration(now.Nano())
}

// Now returns the time since boot, with the time that the machine slept.
func (c *BootClock) Now() time.Duration { return c.read(unix.CLOCK_BOOTTIME) }

// Wall returns what the wall clock showed at a time. It returns the same again unless the wall clock
// was set in between: what lies between the two clocks does not change otherwise, and what one
// misses between asking both is not worth another answer.
func (c *BootClock) Wall(at time.Duration) time.Time {
	const same = 100 * time.Millisecond
	boot := c.Now()
	wall := time.Unix(0, int64(c.read(unix.CLOCK_REALTIME)))
	if booted := wall.Add(-boot); booted.Sub(c.booted).Abs() > same {
		c.booted = booted
	}
	if then := c.booted.Add(at); then.Before(wall) {
		return then
	}
	return wall
}
