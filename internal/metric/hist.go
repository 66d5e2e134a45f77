// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"sort"
)

// This file is the Go half of bpf/hist.bpf.h. That file defines the slots.

const (
	histDoublings = 38
	// HistSlots is the number of slots: one for the value zero, eight for each doubling, the first
	// of the next doubling, and the overflow slot.
	HistSlots = 1 + 8*histDoublings + 1 + 1
	// histOverflow is the overflow slot: only the bucket +Inf holds its observations.
	histOverflow = HistSlots - 1
	// classicBuckets is how many powers of two bound finite buckets of a classic histogram.
	classicBuckets = 29
)

// Unit is a unit of time of the served values. Its number is its length in nanoseconds.
type Unit uint64

// The units of the served values.
const (
	Microseconds Unit = 1e3
	Seconds      Unit = 1e9
)

// ParseUnit returns the unit with a name; it is the inverse of [Unit.String].
func ParseUnit(s string) (Unit, error) {
	for _, u := range []Unit{Microseconds, Seconds} {
		if s == u.String() {
			return u, nil
		}
	}
	return 0, fmt.Errorf("unit %q is neither %q nor %q", s, Microseconds, Seconds)
}

// String returns the unit's name, in which a metric's name ends.
func (u Unit) String() string {
	switch u {
	case Microseconds:
		return "microseconds"
	case Seconds:
		return "seconds"
	}
	return fmt.Sprintf("%d ns", uint64(u))
}

// Bounds returns the mantissas of the bucket bounds of any doubling, in ascending order. The eBPF
// programs need them in cfg_hist_bounds.
func (u Unit) Bounds() [8]uint64 {
	var mantissas [8]uint64
	for i, b := range u.bounds() {
		mantissas[i] = b.mantissa
	}
	return mantissas
}

// bound is unit * 2^(eighth/8) ns, rounded down to mantissa * 2^(top-63). The top bit of the
// mantissa is set.
type bound struct {
	mantissa    uint64
	top, eighth int
}

// bounds returns the bounds of a doubling, in the order of their mantissas.
func (u Unit) bounds() [8]bound {
	var bounds [8]bound
	for j := range bounds {
		// The eighth power of the bound is an integer, and three integer
		// square roots round an eighth root down exactly.
		power := new(big.Int).Exp(big.NewInt(int64(u)), big.NewInt(8), nil)
		power.Lsh(power, uint(j))
		top := (power.BitLen() - 1) / 8
		root := power.Lsh(power, uint(8*(63-top)))
		for range 3 {
			root.Sqrt(root)
		}
		bounds[j] = bound{mantissa: root.Uint64(), top: top, eighth: j}
	}
	slices.SortFunc(bounds[:], func(a, b bound) int { return cmp.Compare(a.mantissa, b.mantissa) })
	return bounds
}

// Buckets says which buckets the slots are in, for one unit. It is read-only, so any number of
// histograms may share it.
type Buckets struct {
	unit Unit
	// index is the index of a finite slot's bucket in a native histogram of schema 3. The bucket's
	// upper bound is unit * 2^(index/8). The other slots have no index.
	index [HistSlots]int32
	// classic are the finite buckets of the classic histogram: the powers of two from the last
	// finite slot, about 4.5 minutes, down to 1 µs, and what [Buckets.Around] adds.
	classic []classicBucket
}

// classicBucket is a bucket of the classic histogram. It holds all slots below end, because every
// classic bound is also a bound of slots.
type classicBucket struct {
	le  float64 // in the unit
	end int
}

// NewBuckets returns the buckets of a unit.
func NewBuckets(u Unit) *Buckets {
	l := &Buckets{unit: u}
	bounds := u.bounds()
	for slot := 1; slot < histOverflow; slot++ {
		e, i := (slot-1)/8, (slot-1)%8
		l.index[slot] = int32(8*(e-bounds[i].top) + bounds[i].eighth)
	}
	highest := int(l.index[histOverflow-1]) / 8
	for exponent := highest - classicBuckets + 1; exponent <= highest; exponent++ {
		l.classic = append(l.classic, l.upTo(8*exponent))
	}
	return l
}

// upTo returns the classic bucket that ends where the native bucket with the index ends.
func (l *Buckets) upTo(index int) classicBucket {
	end := sort.Search(histOverflow, func(slot int) bool {
		return slot > 0 && int(l.index[slot]) > index
	})
	return classicBucket{le: power(index), end: end}
}

// Hist is a histogram of durations.
type Hist struct {
	Buckets *Buckets
	// Slots holds the count of each of the HistSlots slots.
	Slots []uint64
	// Sum is the sum of all observations in ns.
	Sum uint64
}

// Count returns the number of observations.
func (h *Hist) Count() uint64 {
	var n uint64
	for _, c := range h.Slots {
		n += c
	}
	return n
}

// sum returns the sum in the buckets's unit, rounded only once.
func (h *Hist) sum() float64 {
	ns := new(big.Float).SetUint64(h.Sum)
	unit := new(big.Float).SetUint64(uint64(h.Buckets.unit))
	sum, _ := new(big.Float).SetPrec(53).Quo(ns, unit).Float64()
	return sum
}
