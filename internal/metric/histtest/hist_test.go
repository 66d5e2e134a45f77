// SPDX-License-Identifier: Apache-2.0

package histtest

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/cilium/ebpf"
	dto "github.com/prometheus/client_model/go"

	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

var units = []metric.Unit{metric.Microseconds, metric.Seconds}

// load loads the programs with the bounds of a unit.
func load(t *testing.T, u metric.Unit) *histObjects {
	t.Helper()
	kerneltest.Open(t)
	spec, err := loadHist()
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Variables[histVarCfgHistBounds].Set(u.Bounds()); err != nil {
		t.Fatal(err)
	}
	var objs histObjects
	if err := spec.LoadAndAssign(&objs, nil); err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() {
		if err := objs.Close(); err != nil {
			t.Error(err)
		}
	})
	return &objs
}

func run(t *testing.T, p *ebpf.Program, v uint64) uint32 {
	t.Helper()
	ret, err := p.Run(&ebpf.RunOptions{Context: v})
	if err != nil {
		t.Fatal(err)
	}
	return ret
}

// exposition returns what a scraper gets for the counts in the slots, in a unit.
func exposition(t *testing.T, u metric.Unit, slots []uint64, sum uint64) *dto.Histogram {
	t.Helper()
	families, err := metric.Families{{
		Name:    "h",
		Type:    metric.Histogram,
		Samples: []metric.Sample{{Hist: &metric.Hist{Buckets: metric.NewBuckets(u), Slots: slots, Sum: sum}}},
	}}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].Metric[0].Histogram
}

// atMost reports whether v ns <= unit * 2^(eighths/8). It is exact, because it compares eighth
// powers.
func atMost(v uint64, u metric.Unit, eighths int) bool {
	eight := big.NewInt(8)
	left := new(big.Int).Exp(new(big.Int).SetUint64(v), eight, nil)
	right := new(big.Int).Exp(new(big.Int).SetUint64(uint64(u)), eight, nil)
	if eighths < 0 {
		left.Lsh(left, uint(-eighths))
	} else {
		right.Lsh(right, uint(eighths))
	}
	return left.Cmp(right) <= 0
}

// bucket is where a scraper finds the observations of one slot.
type bucket struct {
	native  int     // index in schema 3
	isZero  bool    // says that it is the native zero bucket, which has no index
	classic float64 // the lowest le that counts them
}

func bucketsOfSlots(t *testing.T, u metric.Unit) []bucket {
	t.Helper()
	buckets := make([]bucket, metric.HistSlots)
	for slot := range buckets {
		slots := make([]uint64, metric.HistSlots)
		slots[slot] = 1
		h := exposition(t, u, slots, 0)
		b := bucket{isZero: h.GetZeroCount() == 1, classic: math.Inf(1)}
		switch spans := h.GetPositiveSpan(); {
		case len(spans) == 1 && spans[0].GetLength() == 1 && !b.isZero:
			b.native = int(spans[0].GetOffset())
		case len(spans) == 0 && b.isZero:
		default:
			t.Fatalf("%s: slot %d is in %d zero and %v other buckets", u, slot, h.GetZeroCount(), spans)
		}
		if i := slices.IndexFunc(h.GetBucket(), func(b *dto.Bucket) bool { return b.GetCumulativeCount() == 1 }); i >= 0 {
			b.classic = h.GetBucket()[i].GetUpperBound()
		}
		buckets[slot] = b
	}
	return buckets
}

// TestSlots runs the histogram in the kernel on values around the bounds of every bucket. Then it
// checks where a scraper finds them.
func TestSlots(t *testing.T) {
	for _, u := range units {
		t.Run(u.String(), func(t *testing.T) {
			program := load(t, u).Slot
			buckets := bucketsOfSlots(t, u)
			overflow := len(buckets) - 1
			lowest, highest := buckets[1].native, buckets[overflow-1].native
			lowestClassic := 0
			for _, b := range buckets {
				if !b.isZero && !math.IsInf(b.classic, 0) {
					lowestClassic = int(math.Log2(b.classic))
					break
				}
			}
			seen := make([]bool, len(buckets))
			check := func(v uint64) {
				slot := run(t, program, v)
				if slot >= uint32(len(buckets)) {
					t.Errorf("%d ns are in slot %d of %d", v, slot, len(buckets))
					return
				}
				seen[slot] = true
				b := buckets[slot]
				switch {
				case b.isZero != (v == 0):
					t.Errorf("%d ns: zero bucket is %t", v, b.isZero)
				case slot == uint32(overflow) && atMost(v, u, highest):
					t.Errorf("%d ns overflow, but are in bucket %d or below", v, highest)
				case !b.isZero && slot != uint32(overflow) && (!atMost(v, u, b.native) || atMost(v, u, b.native-1)):
					t.Errorf("%d ns are not in bucket %d", v, b.native)
				}
				if math.IsInf(b.classic, 0) {
					if atMost(v, u, 8*(highest/8)) {
						t.Errorf("%d ns are in le=+Inf alone", v)
					}
					return
				}
				n := int(math.Log2(b.classic))
				if !atMost(v, u, 8*n) || n > lowestClassic && atMost(v, u, 8*(n-1)) {
					t.Errorf("%d ns are not in le=%v", v, b.classic)
				}
			}

			for v := range uint64(3000) {
				check(v)
			}
			for k := lowest - 8; k <= highest+24; k++ {
				// The largest integer that the bucket holds.
				bound := uint64(sort.Search(1<<42, func(v int) bool { return !atMost(uint64(v), u, k) })) - 1
				for v := max(bound, 1) - 1; v <= bound+2; v++ {
					check(v)
				}
			}
			for e := range 64 {
				check(1<<e - 1)
				check(1 << e)
				check(1<<e + 1)
			}
			check(math.MaxUint64)
			random := rand.New(rand.NewPCG(1, uint64(u)))
			for range 10000 {
				check(random.Uint64() >> random.UintN(64))
			}
			for slot, ok := range seen {
				if !ok && slot > 1+8*7 { // some slots below 2^7 ns hold no integer
					t.Errorf("no value fell into slot %d, bucket %d", slot, buckets[slot].native)
				}
			}
		})
	}
}

// TestObserve runs both ways of observing on the same values.
func TestObserve(t *testing.T) {
	type hist struct {
		Slots [metric.HistSlots]uint64
		Sum   uint64
	}
	objs := load(t, metric.Microseconds)
	var want hist
	observe := func(v uint64) {
		run(t, objs.Observe, v)
		want.Slots[run(t, objs.Slot, v)]++
		want.Sum += v
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		observe(random.Uint64() >> (20 + random.UintN(44)))
	}
	for _, v := range []uint64{0, 0, 1, 1000, 1 << 39, 1 << 39, 1 << 62} {
		observe(v)
	}
	for name, variable := range map[string]*ebpf.Variable{"plain": objs.Plain, "atomic": objs.Atomic} {
		var got hist
		if err := variable.Get(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if n := want.Slots[0]; n < 2 {
		t.Errorf("%d observations of zero, want at least 2", n)
	}
	if n := want.Slots[metric.HistSlots-1]; n < 3 {
		t.Errorf("%d observations overflow, want at least 3", n)
	}

	h := exposition(t, metric.Microseconds, want.Slots[:], want.Sum)
	if got := h.GetSampleCount(); got != 2007 {
		t.Errorf("count is %d, want 2007", got)
	}
	if got, _ := new(big.Rat).SetFrac64(int64(want.Sum), 1000).Float64(); got != h.GetSampleSum() {
		t.Errorf("sum is %v, want %v", h.GetSampleSum(), got)
	}
}
