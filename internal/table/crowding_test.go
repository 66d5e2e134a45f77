// SPDX-License-Identifier: Apache-2.0

package table

import "testing"

// TestCrowding: a table is full from the first event that finds no room until two
// minutes after the last, and says once that it is and once that it is not.
func TestCrowding(t *testing.T) {
	var c crowding
	for _, at := range []struct {
		seconds       uint64
		lost          uint64
		full, changed bool
	}{
		{10, 0, false, false},
		{20, 5, true, true},
		{30, 5, true, false},
		{130, 9, true, false},
		{250, 9, true, false},
		{251, 9, false, true},
		{300, 9, false, false},
		{310, 10, true, true},
		{900, 11, true, false}, // readings may be far apart
	} {
		full, changed := c.read(at.lost, at.seconds*1e9)
		if full != at.full || changed != at.changed {
			t.Errorf("after %d s with %d lost: full %v, changed %v", at.seconds, at.lost, full, changed)
		}
	}
}
