// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var units = []Unit{Microseconds, Seconds}

// holds reports whether v ns are in the bucket with the index in a native histogram of schema 3,
// that is whether unit*2^((index-1)/8) < v <= unit*2^(index/8). It compares eighth powers, because
// they are integers.
func holds(u Unit, index int, v uint64) bool {
	return !atMost(v, u, index-1) && atMost(v, u, index)
}

// atMost reports whether v <= unit * 2^(index/8).
func atMost(v uint64, u Unit, index int) bool {
	eight := big.NewInt(8)
	left := new(big.Int).Exp(new(big.Int).SetUint64(v), eight, nil)
	right := new(big.Int).Exp(new(big.Int).SetUint64(uint64(u)), eight, nil)
	if index < 0 {
		left.Lsh(left, uint(-index))
	} else {
		right.Lsh(right, uint(index))
	}
	return left.Cmp(right) <= 0
}

// slotOf returns the slot of a value as hist_slot of bpf/hist.bpf.h does, but without a binary
// search.
func slotOf(u Unit, v uint64) int {
	if v == 0 {
		return 0
	}
	e := bits.Len64(v) - 1
	slot := 1 + 8*e
	for _, b := range u.Bounds() {
		if v<<(63-e) > b {
			slot++
		}
	}
	return min(slot, histOverflow)
}

func TestBoundsAreRoundedDown(t *testing.T) {
	eight := big.NewInt(8)
	for _, u := range units {
		for _, b := range u.bounds() {
			exact := new(big.Int).Exp(big.NewInt(int64(u)), eight, nil)
			exact.Lsh(exact, uint(b.eighth+8*(63-b.top)))
			mantissa := new(big.Int).SetUint64(b.mantissa)
			next := new(big.Int).Add(mantissa, big.NewInt(1))
			if b.mantissa>>63 != 1 || mantissa.Exp(mantissa, eight, nil).Cmp(exact) > 0 || next.Exp(next, eight, nil).Cmp(exact) <= 0 {
				t.Errorf("%s: %#x * 2^(%d-63) is not 2^(%d/8) rounded down", u, b.mantissa, b.top, b.eighth)
			}
		}
		if bounds := u.Bounds(); !slices.IsSorted(bounds[:]) {
			t.Errorf("%s: bounds %x are not ascending", u, bounds)
		}
	}
}

func TestLayoutAgainstExactArithmetic(t *testing.T) {
	for _, u := range units {
		buckets := NewBuckets(u)
		last := int(buckets.index[histOverflow-1])
		check := func(v uint64) {
			t.Helper()
			slot := slotOf(u, v)
			const rounding = 1e-12 // SlotBounds are floats
			if lower, upper := buckets.SlotBounds(slot); float64(v) > upper*(1+rounding) || v > 0 && float64(v) <= lower*(1-rounding) {
				t.Errorf("%s: %d ns are in slot %d, from %v to %v ns", u, v, slot, lower, upper)
			}
			switch slot {
			case 0:
				if v != 0 {
					t.Errorf("%s: %d ns are in slot 0", u, v)
				}
			case histOverflow:
				if atMost(v, u, last) {
					t.Errorf("%s: %d ns overflow, but the last bound is not below", u, v)
				}
			default:
				if !holds(u, int(buckets.index[slot]), v) {
					t.Errorf("%s: %d ns are in slot %d, bucket %d, which does not hold them", u, v, slot, buckets.index[slot])
				}
			}
		}
		for v := range uint64(5000) {
			check(v)
		}
		for slot := 1; slot < histOverflow; slot++ {
			bound := math.Exp2(float64(buckets.index[slot])/8) * float64(u)
			for d := range uint64(7) {
				if v := uint64(bound) + d - 3; bound > 3 {
					check(v)
				}
			}
		}
		check(math.MaxUint64)
		random := rand.New(rand.NewPCG(1, 2))
		for range 5000 {
			check(random.Uint64() >> random.UintN(64))
		}
	}
}

func TestLayoutIsContiguous(t *testing.T) {
	for _, u := range units {
		l := NewBuckets(u)
		for slot := 2; slot < histOverflow; slot++ {
			if l.index[slot] != l.index[slot-1]+1 {
				t.Errorf("%s: slot %d is bucket %d after %d", u, slot, l.index[slot], l.index[slot-1])
			}
		}
		// 1 ns and 2^38 ns are values with a slot.
		if !atMost(1, u, int(l.index[1])) {
			t.Errorf("%s: 1 ns is above the first bucket", u)
		}
		if last := int(l.index[histOverflow-1]); !atMost(1<<38, u, last) {
			t.Errorf("%s: the last finite bucket, %d, ends below 2^38 ns", u, last)
		}
	}
}

func TestClassicBounds(t *testing.T) {
	for _, c := range []struct {
		unit        Unit
		first, last float64
	}{
		{Microseconds, 1, 1 << 28},
		{Seconds, 1. / (1 << 20), 1 << 8},
	} {
		l := NewBuckets(c.unit)
		if got := l.classic[0].le; got != c.first {
			t.Errorf("%s: first bound is %v, want %v", c.unit, got, c.first)
		}
		if got := l.classic[classicBuckets-1].le; got != c.last {
			t.Errorf("%s: last bound is %v, want %v", c.unit, got, c.last)
		}
		for i, b := range l.classic {
			if i > 0 && b.le != 2*l.classic[i-1].le {
				t.Errorf("%s: bound %v follows %v", c.unit, b.le, l.classic[i-1].le)
			}
			// The last slot of the bucket ends at its bound.
			if got := math.Exp2(float64(l.index[b.end-1]) / 8); got != b.le {
				t.Errorf("%s: bucket le=%v ends with the slot up to %v", c.unit, b.le, got)
			}
		}
	}
}

// TestAround holds the added bounds to what they are for: with them, both forms count the same below
// and above the slot of a limit.
func TestAround(t *testing.T) {
	for _, u := range units {
		plain := NewBuckets(u)
		limits := []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, 3 * time.Second, 250 * time.Millisecond}
		l := plain.Around(limits...)
		if len(plain.classic) != classicBuckets || len(l.classic) > classicBuckets+2*len(limits) || len(l.classic) < classicBuckets+2*4 {
			t.Errorf("%s: %d bounds, %d around the limits", u, len(plain.classic), len(l.classic))
		}
		for _, limit := range limits {
			slot := l.SlotOf(limit)
			lower, upper := l.SlotBounds(slot)
			if float64(limit) <= lower || float64(limit) > upper {
				t.Errorf("%s: %v is in slot %d, from %v to %v ns", u, limit, slot, lower, upper)
			}
			for slot, bound := range map[int]float64{slot - 1: lower, slot: upper} {
				ends := func(c classicBucket) bool { return c.end == slot+1 }
				if i := slices.IndexFunc(l.classic, ends); i < 0 || math.Abs(l.classic[i].le*float64(u)/bound-1) > 1e-12 {
					t.Errorf("%s: no classic bucket ends with slot %d at %v ns", u, slot, bound)
				}
			}
		}
		if !slices.IsSortedFunc(l.classic, func(a, b classicBucket) int { return cmp.Compare(a.le, b.le) }) {
			t.Errorf("%s: bounds %v are not ascending", u, l.classic)
		}
	}
}

func TestSlotOf(t *testing.T) {
	for _, u := range units {
		l := NewBuckets(u)
		random := rand.New(rand.NewPCG(5, 6))
		for range 5000 {
			if v := random.Uint64() >> (1 + random.UintN(60)); l.SlotOf(time.Duration(v)) != slotOf(u, v) {
				t.Errorf("%s: %d ns are in slot %d, not %d", u, v, slotOf(u, v), l.SlotOf(time.Duration(v)))
			}
		}
	}
}

func TestSumIsRoundedOnce(t *testing.T) {
	for _, u := range units {
		buckets := NewBuckets(u)
		random := rand.New(rand.NewPCG(3, 4))
		for range 2000 {
			h := Hist{Buckets: buckets, Sum: random.Uint64() >> random.UintN(64)}
			want, _ := new(big.Rat).SetFrac(new(big.Int).SetUint64(h.Sum), big.NewInt(int64(u))).Float64()
			if got := h.sum(); got != want {
				t.Errorf("sum of %d ns is %v %s, want %v", h.Sum, got, u, want)
			}
		}
	}
}

func TestParseUnit(t *testing.T) {
	for _, u := range units {
		if got, err := ParseUnit(u.String()); err != nil || got != u {
			t.Errorf("parsing %s: %v, %v", u, got, err)
		}
	}
	for _, s := range []string{"", "ms", "Seconds", "1000 ns"} {
		if u, err := ParseUnit(s); err == nil {
			t.Errorf("parsing %q gives %s, want an error", s, u)
		}
	}
}
