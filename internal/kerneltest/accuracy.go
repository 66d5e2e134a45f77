// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// AccuracyFile is the file in the folder KERNSCOPE_OUT that [Accuracy] adds
// [Record] after record to, one JSON object a line.
const AccuracyFile = "accuracy.jsonl"

// Row names a row of docs/ACCURACY.md. It is the same on every machine.
type Row struct {
	// Metric is the family's name, with the unit if it has one.
	Metric string
	// Workload says what was done and which number of it is compared.
	Workload string
	// Source is who else counted: "fio", "/proc/vmstat".
	Source string
}

// number is what is compared: a count, a ratio or a time.
type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// Truth is what the independent source says.
type Truth[N number] struct {
	// Least and Most are equal if the source says exactly what should have
	// been counted.
	Least, Most N
	// Below and Above are how far from that the right number may be.
	Below, Above N
	// Why explains all differences there may be: in one sentence, without
	// numbers that vary.
	Why string

	less, more N
	others     string
}

// Beside returns the truth where others may have made the number so much less or
// more in this attempt, by a measure that does not depend on the collector.
// What is that far off is no error and no success: [Conclusive] tries again.
func (t Truth[N]) Beside(less, more N, others string) Truth[N] {
	t.less, t.more, t.others = less, more, others
	return t
}

// allows reports whether the number lies so much below and above the truth.
func (t Truth[N]) allows(n, below, above N) bool {
	return n >= t.Least-min(below, t.Least) && n <= t.Most+above
}

// Recursion is why events are missing that [Numbers.Missed] says are.
const Recursion = "A task may interrupt a program that runs on the same CPU. The kernel shows what that task does to no program, and counts what it did not show (`kernscope_program_recursion_misses_total`)."

// Exactly returns the truth that allows no difference.
func Exactly[N number](n N) Truth[N] { return Truth[N]{Least: n, Most: n} }

// Record is a row's cell for one machine. Times are in seconds. A record without
// a row says that the test was not conclusive: its rows may be missing.
type Record struct {
	Row
	// Test is the function that compared.
	Test string
	// Machine is [Machine]'s name, Release what uname says.
	Machine, Release string
	// Time says that the numbers are a time.
	Time bool
	// Compared is false if others disturbed every attempt; Why says so.
	Compared             bool
	Counted, Least, Most float64
	Why                  string
}

// Check fails the test unless what was counted agrees with the truth.
func Check[N number](t testing.TB, what string, counted N, truth Truth[N]) bool {
	t.Helper()
	switch {
	case truth.allows(counted, truth.Below, truth.Above):
		return true
	case truth.allows(counted, truth.Below+truth.less, truth.Above+truth.more):
		excuse(t, fmt.Sprintf("%s: counted %v, want %v", what, counted, truth), truth.others)
	default:
		t.Errorf("%s: counted %v, want %v", what, counted, truth)
	}
	return false
}

// String returns the numbers that are right.
func (t Truth[N]) String() string {
	text := fmt.Sprint(t.Least)
	if t.Least != t.Most {
		text += fmt.Sprint(" to ", t.Most)
	}
	if t.Below != 0 || t.Above != 0 {
		text += fmt.Sprintf(", %v less and %v more are allowed", t.Below, t.Above)
	}
	if t.less != 0 || t.more != 0 {
		text += fmt.Sprintf("; others may have made %v less or %v more of it", t.less, t.more)
	}
	return text
}

// Accuracy does what [Check] does, and records the comparison if KERNSCOPE_OUT
// is set. A difference must be explained. Of several records of one row the
// last holds.
func Accuracy[N number](t testing.TB, row Row, counted N, truth Truth[N]) {
	t.Helper()
	what := fmt.Sprintf("%s, %s, by %s", row.Metric, row.Workload, row.Source)
	if !Check(t, what, counted, truth) {
		return
	}
	if truth.Why == "" && (counted != truth.Least || counted != truth.Most) {
		t.Errorf("%s: counted %v, want %v, and nothing explains the difference", what, counted, truth)
		return
	}
	_, isTime := any(counted).(time.Duration)
	r := Record{Row: row, Time: isTime, Compared: true,
		Counted: float64(counted), Least: float64(truth.Least), Most: float64(truth.Most), Why: truth.Why}
	if isTime {
		for _, ns := range []*float64{&r.Counted, &r.Least, &r.Most} {
			*ns /= float64(time.Second)
		}
	}
	keep(t, r)
}

// restless is why a test that is not conclusive compared nothing.
const restless = "The machine was never quiet: others disturbed every attempt at this test."

func (r Record) write(t testing.TB) {
	t.Helper()
	out := os.Getenv("KERNSCOPE_OUT")
	if out == "" {
		return
	}
	r.Test, _, _ = strings.Cut(t.Name(), "/")
	r.Machine = Machine()
	if err := r.append(out); err != nil {
		t.Fatal("recording a comparison: ", err)
	}
}

func (r Record) append(folder string) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("asking for the kernel's release: %w", err)
	}
	r.Release = unix.ByteSliceToString(uts.Release[:])
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(folder, AccuracyFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
