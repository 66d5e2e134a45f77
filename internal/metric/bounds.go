// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// Unit returns the unit of the buckets.
func (l *Buckets) Unit() Unit { return l.unit }

// SlotBounds returns the exclusive lower bound and the inclusive upper bound of a slot, in
// nanoseconds. The upper bound of the overflow slot is infinite.
func (l *Buckets) SlotBounds(slot int) (lower, upper float64) {
	above := func(slot int) float64 {
		return float64(l.unit) * power(int(l.index[slot]))
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

// SlotOf returns the slot that holds a duration.
func (l *Buckets) SlotOf(d time.Duration) int {
	return sort.Search(histOverflow, func(slot int) bool {
		_, upper := l.SlotBounds(slot)
		return float64(d) <= upper
	})
}

// Around returns buckets whose classic form also has both bounds of the slot that holds each limit.
// There the classic form is as fine as the native one, so both agree on which side of the limit an
// observation in any other bucket is.
func (l *Buckets) Around(limits ...time.Duration) *Buckets {
	around := *l
	around.classic = slices.Clone(l.classic)
	for _, limit := range limits {
		index := int(l.index[l.SlotOf(limit)])
		around.classic = append(around.classic, l.upTo(index-1), l.upTo(index))
	}
	slices.SortFunc(around.classic, func(a, b classicBucket) int { return cmp.Compare(a.le, b.le) })
	around.classic = slices.Compact(around.classic)
	return &around
}

// power returns 2^(index/8). The numbers are those of Prometheus, which has no others for native
// buckets of schema 3. A function such as math.Exp2 may round differently on another architecture,
// and one bound would have two names in a fleet.
func power(index int) float64 {
	eighths := [8]float64{
		0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048,
		0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
	}
	exponent := index >> 3 // rounds down, below zero too
	return math.Ldexp(eighths[index&7], exponent+1)
}
