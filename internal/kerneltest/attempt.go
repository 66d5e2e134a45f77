// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Conclusive runs a body that compares exact numbers, at most so many times,
// and ends at the first attempt that proves something:
//
//   - An attempt without an error passes.
//   - An error that nobody else can have caused fails the test at once.
//   - If others may have caused all errors of an attempt, the next one begins.
//     The body says so of a number ([Truth.Beside]), of the whole attempt
//     ([Attempt.Disturbed]), or ends an attempt that can show nothing
//     ([Attempt.Void]). It says so only after a measure that does not depend on
//     the collector: kernel counters, or what belongs to this test alone.
//
// If others disturbed every attempt, the test is skipped with a message that
// starts with "not-conclusive:", by which test/report names it apart from
// passed and failed tests. On a machine of the matrix it fails instead: nothing
// else runs there.
//
// The body must use the attempt, not the test around it: clean-ups run at the
// end of the attempt, and what it records ([Accuracy]) counts only if it passes.
func Conclusive(t testing.TB, attempts int, body func(a *Attempt)) {
	t.Helper()
	var disturbance string
	for n := 1; n <= attempts; n++ {
		a := &Attempt{TB: t, N: n, Last: n == attempts}
		a.run(body)
		switch {
		case t.Failed():
			t.FailNow() // by the test around the attempt
		case t.Skipped():
			t.SkipNow()
		case len(a.wrong) > 0 && len(a.disturbed) == 0:
			for _, w := range append(a.wrong, a.excused...) {
				t.Errorf("attempt %d: %s", n, w)
			}
			t.FailNow()
		case len(a.wrong) == 0 && len(a.excused) == 0 && a.void == "":
			for _, r := range a.records {
				r.write(t)
			}
			return
		}
		disturbance = a.disturbance()
		t.Logf("attempt %d is not conclusive: %s", n, strings.Join(a.all(), "; "))
		// What others do often lasts for seconds.
		time.Sleep(min(time.Duration(n-1)*100*time.Millisecond, time.Second))
	}
	message := fmt.Sprintf("not-conclusive: %d attempts: %s", attempts, oneLine(disturbance))
	if Kernel() != "" {
		t.Fatal(message)
	}
	Record{Why: restless}.write(t)
	t.Skip(message)
}

// Attempt is one run of the body of [Conclusive].
type Attempt struct {
	testing.TB
	// N is 1 in the first attempt. After the Last there is no other.
	N    int
	Last bool

	mu        sync.Mutex
	wrong     []string // errors that only a disturbed attempt excuses
	excused   []string // errors that others may have caused
	others    []string // what they did, for each of these
	disturbed []string // what others did to the whole attempt
	void      string   // why the attempt shows nothing
	records   []Record
	cleanups  []func()
}

// Disturbed notes what others did during the attempt, by a measure that does
// not depend on the collector. The errors of the attempt then prove nothing.
// Where a number can be bounded, use [Truth.Beside] instead: it excuses no more
// than others can have caused.
func (a *Attempt) Disturbed(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.disturbed = append(a.disturbed, fmt.Sprintf(format, args...))
}

// Void ends an attempt that can show nothing, because of what others did. It
// must be called by the goroutine that runs the body.
func (a *Attempt) Void(format string, args ...any) {
	a.mu.Lock()
	a.void = fmt.Sprintf(format, args...)
	a.mu.Unlock()
	runtime.Goexit()
}

// Error notes an error of the attempt, as Errorf, Fail, Fatal, Fatalf and
// FailNow do.
func (a *Attempt) Error(args ...any) { a.complain(strings.TrimSuffix(fmt.Sprintln(args...), "\n")) }

// Errorf does what [Attempt.Error] does, with a format.
func (a *Attempt) Errorf(format string, args ...any) { a.complain(fmt.Sprintf(format, args...)) }

// Fail marks the attempt.
func (a *Attempt) Fail() { a.complain("failed") }

// Fatal ends the attempt with an error. Like that of a test, it must be called
// by the goroutine that runs the body.
func (a *Attempt) Fatal(args ...any) {
	a.complain(strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
	runtime.Goexit()
}

// Fatalf does what [Attempt.Fatal] does, with a format.
func (a *Attempt) Fatalf(format string, args ...any) {
	a.complain(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// FailNow ends the attempt.
func (a *Attempt) FailNow() {
	a.complain("failed")
	runtime.Goexit()
}

// Failed reports whether the attempt, or the test around it, has an error.
func (a *Attempt) Failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.wrong) > 0 || len(a.excused) > 0 || a.TB.Failed()
}

// Cleanup calls f at the end of the attempt.
func (a *Attempt) Cleanup(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cleanups = append(a.cleanups, f)
}

// run runs the body on a goroutine of its own, which Fatal and Void end, and
// then the clean-ups, the last first, each even if another one is fatal.
func (a *Attempt) run(body func(a *Attempt)) {
	alone := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	alone(func() { body(a) })
	for {
		a.mu.Lock()
		last := len(a.cleanups) - 1
		if last < 0 {
			a.mu.Unlock()
			return
		}
		f := a.cleanups[last]
		a.cleanups = a.cleanups[:last]
		a.mu.Unlock()
		alone(f)
	}
}

// complain keeps an error and where it came from.
func (a *Attempt) complain(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wrong = append(a.wrong, caller()+text)
}

// excuse keeps an error that others may have caused.
func (a *Attempt) excuse(text, others string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.excused = append(a.excused, caller()+text)
	a.others = append(a.others, others)
}

// record keeps a comparison until the attempt has passed.
func (a *Attempt) record(r Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.records = append(a.records, r)
}

// disturbance returns what others did, in one line.
func (a *Attempt) disturbance() string {
	if a.void != "" {
		return a.void
	}
	return strings.Join(unique(append(a.disturbed, a.others...)), "; ")
}

// all returns everything that is to be said of an attempt that is not conclusive.
func (a *Attempt) all() []string {
	return append(append([]string{a.disturbance()}, a.wrong...), a.excused...)
}

// caller returns the place outside of this package that reports an error.
func caller() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if !strings.Contains(frame.Function, "internal/kerneltest.") || strings.HasSuffix(frame.File, "_test.go") {
			return fmt.Sprintf("%s:%d: ", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func unique(texts []string) (once []string) {
	seen := make(map[string]bool)
	for _, text := range texts {
		if !seen[text] {
			seen[text] = true
			once = append(once, text)
		}
	}
	return once
}
