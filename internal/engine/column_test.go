// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"

	"github.com/kernscope/kernscope/internal/metric"
)

func TestSumEqual(t *testing.T) {
	hist := func(n uint64) *metric.Hist { return &metric.Hist{Slots: []uint64{n, 2 * n}, Sum: 3 * n} }
	got := sumEqual([]metric.Sample{
		{Labels: []string{"sda", "read"}, Value: 1, Hist: hist(1)},
		{Labels: []string{"sd", "aread"}, Value: 4},
		{Labels: []string{"sda", "read"}, Value: 2, Hist: hist(10)},
	})
	if len(got) != 2 || got[0].Value != 3 || got[1].Value != 4 || got[0].Hist.Sum != 33 || got[0].Hist.Slots[1] != 22 {
		t.Errorf("%+v, %+v", got, got[0].Hist)
	}
}
