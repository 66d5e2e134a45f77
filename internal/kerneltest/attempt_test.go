// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// result is a test that keeps how it ended.
type result struct {
	testing.TB
	errors          []string
	skipped         string
	failed, skipNow bool
}

func (r *result) Errorf(format string, args ...any) {
	r.failed = true
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *result) Fatal(args ...any)   { r.Errorf("%s", fmt.Sprint(args...)); runtime.Goexit() }
func (r *result) FailNow()            { r.failed = true; runtime.Goexit() }
func (r *result) Failed() bool        { return r.failed }
func (r *result) Skip(args ...any)    { r.skipped = fmt.Sprint(args...); r.SkipNow() }
func (r *result) SkipNow()            { r.skipNow = true; runtime.Goexit() }
func (r *result) Skipped() bool       { return r.skipNow }
func (r *result) Logf(string, ...any) {}

// conclude runs the body as a test would, with at most three attempts.
func conclude(t *testing.T, body func(a *Attempt)) (r *result, attempts int) {
	r = &result{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Conclusive(r, 3, func(a *Attempt) {
			attempts++
			body(a)
		})
	}()
	<-done
	return r, attempts
}

// TestConclusive checks that what is wrong fails at once, that what others may
// have done is tried again, and that what they did every time is neither a
// failure nor a success.
func TestConclusive(t *testing.T) {
	row := Row{Metric: "m", Workload: "w", Source: "s"}
	for _, tt := range []struct {
		name     string
		body     func(a *Attempt)
		attempts int
		failed   string // in the error, "" is none
		skipped  string // in the message, "" is not
	}{
		{"right", func(a *Attempt) { Check(a, "n", 7, Exactly(7)) }, 1, "", ""},
		{"wrong", func(a *Attempt) { Check(a, "n", 8, Exactly(7)) }, 1, "attempt_test.go", ""},
		{"right beside others", func(a *Attempt) { Check(a, "n", 7, Exactly(7).Beside(1, 1, "others")) }, 1, "", ""},
		{"doubled beside others", func(a *Attempt) { Check(a, "n", 14, Exactly(7).Beside(1, 1, "others")) }, 1, "counted 14, want 7", ""},
		{"halved beside others who add", func(a *Attempt) { Check(a, "n", 3, Exactly(7).Beside(0, 9, "others")) }, 1, "counted 3, want 7", ""},
		{"disturbed every time", func(a *Attempt) { Check(a, "n", 8, Exactly(7).Beside(0, 1, "others read")) }, 3, "", "not-conclusive: 3 attempts: others read"},
		{"disturbed once", func(a *Attempt) { Check(a, "n", 7+2-min(a.N, 2), Exactly(7).Beside(0, 1, "others read")) }, 2, "", ""},
		{"disturbed, then wrong", func(a *Attempt) { Check(a, "n", 8*a.N, Exactly(7).Beside(0, 1, "others")) }, 2, "counted 16", ""},
		{"one excused, one wrong", func(a *Attempt) {
			Check(a, "n", 8, Exactly(7).Beside(0, 1, "others"))
			Check(a, "k", 9, Exactly(7))
		}, 1, "k: counted 9", ""},
		{"all of the attempt disturbed", func(a *Attempt) {
			a.Errorf("much too much")
			a.Disturbed("a build ran")
		}, 3, "", "a build ran"},
		{"disturbed, and right all the same", func(a *Attempt) { a.Disturbed("a build ran") }, 1, "", ""},
		{"void", func(a *Attempt) {
			a.Void("tasks\ndied")
			panic("goes on")
		}, 3, "", "not-conclusive: 3 attempts: tasks died"},
		{"fatal", func(a *Attempt) {
			a.Fatalf("no disk")
			panic("goes on")
		}, 1, "no disk", ""},
		{"recorded", func(a *Attempt) { Accuracy(a, row, 7, Exactly(7)) }, 1, "", ""},
		{"not explained", func(a *Attempt) { Accuracy(a, row, 6, Truth[int]{Least: 7, Most: 7, Below: 1}) }, 1, "nothing explains", ""},
		{"of a name", func(a *Attempt) { Check(Named(a, "raw"), "n", 8, Exactly(7).Beside(0, 1, "others")) }, 3, "", "others"},
		{"wrong of a name", func(a *Attempt) { Check(Named(a, "raw"), "n", 8, Exactly(7)) }, 1, "raw: n", ""},
		{"skipped inside", func(a *Attempt) { a.Skip("no-bpf: refused") }, 1, "", "no-bpf: refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("KERNSCOPE_KERNEL", "")
			t.Setenv("KERNSCOPE_OUT", "")
			r, attempts := conclude(t, tt.body)
			if attempts != tt.attempts {
				t.Errorf("%d attempts, want %d", attempts, tt.attempts)
			}
			all := strings.Join(r.errors, "\n")
			if r.failed != (tt.failed != "") || !strings.Contains(all, tt.failed) {
				t.Errorf("failed %v with %q, want %q", r.failed, all, tt.failed)
			}
			if r.skipNow != (tt.skipped != "") || !strings.Contains(r.skipped, tt.skipped) {
				t.Errorf("skipped %v with %q, want %q", r.skipNow, r.skipped, tt.skipped)
			}
		})
	}
}

// TestNotConclusiveFailsInTheMatrix checks that nothing is tried again on the
// machines of the matrix, where nothing else runs.
func TestNotConclusiveFailsInTheMatrix(t *testing.T) {
	t.Setenv("KERNSCOPE_KERNEL", "6.1")
	t.Setenv("KERNSCOPE_OUT", "")
	r, attempts := conclude(t, func(a *Attempt) { a.Void("tasks died") })
	if !r.failed || r.skipNow || attempts != 3 {
		t.Errorf("failed %v, skipped %v after %d attempts", r.failed, r.skipNow, attempts)
	}
}

// TestAttemptsCleanUp checks that clean-ups of an attempt run before the next
// one, the last first, although one is fatal.
func TestAttemptsCleanUp(t *testing.T) {
	t.Setenv("KERNSCOPE_KERNEL", "")
	t.Setenv("KERNSCOPE_OUT", "")
	var done []string
	conclude(t, func(a *Attempt) {
		done = append(done, "begin")
		a.Cleanup(func() { done = append(done, "first") })
		a.Cleanup(func() { runtime.Goexit() })
		a.Cleanup(func() { done = append(done, "last") })
		if a.N < 2 {
			a.Void("tasks died")
		}
	})
	if want := []string{"begin", "last", "first", "begin", "last", "first"}; !slices.Equal(done, want) {
		t.Errorf("%q, want %q", done, want)
	}
}

// TestAttemptsRecord checks that only what passed is recorded, or that the test
// was not conclusive.
func TestAttemptsRecord(t *testing.T) {
	row := Row{Metric: "m", Workload: "w", Source: "s"}
	for _, tt := range []struct {
		name    string
		good    int // the attempt that nobody disturbs
		records int
		want    string
	}{
		{"passed", 2, 1, `"Counted":7`},
		{"not conclusive", 9, 1, `"Metric":"","Workload":"","Source":"","Test":"TestAttemptsRecord"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := t.TempDir()
			t.Setenv("KERNSCOPE_KERNEL", "")
			t.Setenv("KERNSCOPE_OUT", out)
			conclude(t, func(a *Attempt) {
				Accuracy(a, row, 7, Exactly(7))
				if a.N < tt.good {
					a.Void("tasks died")
				}
			})
			raw, err := os.ReadFile(filepath.Join(out, AccuracyFile))
			if err != nil || strings.Count(string(raw), "\n") != tt.records || !strings.Contains(string(raw), tt.want) {
				t.Errorf("recorded %q (%v), want %d with %q", raw, err, tt.records, tt.want)
			}
		})
	}
}
