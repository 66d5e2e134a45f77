// SPDX-License-Identifier: Apache-2.0

package metric

import "math"

// Unit returns the unit of the buckets.
func (l *Buckets) Unit() Unit { return l.unit }

// SlotBounds returns the exclusive lower bound and the inclusive upper bound of a slot, in
// nanoseconds. The upper bound of the overflow slot is infinite.
func (l *Buckets) SlotBounds(slot int) (lower, upper float64) {
	above := func(slot int) float64 {
		return float64(l.unit) * math.Exp2(float64(l.index[slot])/8)
	}
	switch slot {
	case 0:
		return 0, 0
	case 1:
		return 0, above(1)
	case histOverflow:
		return above(histOverflow - 1), math.Inf(1)
	}
	return above(slot - 1), above(slot)
}
