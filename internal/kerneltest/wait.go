// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"testing"
	"time"
)

// patience is how long a test waits for what must come. Nothing takes so long
// that does come, not even under emulation.
const patience = 2 * time.Minute

// Until waits until a condition holds, which says by an error what is missing,
// and fails the test if it never does.
func Until(t testing.TB, what string, condition func() error) {
	t.Helper()
	Eventually(t, patience, "waited in vain until "+what, func() (struct{}, error) { return struct{}{}, condition() })
}

// Eventually returns what try does, as soon as it succeeds. The test fails with
// the complaint if it does not for so long.
func Eventually[T any](t testing.TB, patience time.Duration, complaint string, try func() (T, error)) T {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		value, err := try()
		if err == nil {
			return value
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", complaint, err)
		}
		time.Sleep(pause)
	}
}
