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

// Row names a row of docs/ACCURACY.md. It is the same on every kernel.
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
}

// Recursion is why events are missing that [Numbers.Missed] says are.
const Recursion = "A task may interrupt a program that runs on the same CPU. The kernel shows what that task does to no program, and counts what it did not show (`kernscope_program_recursion_misses_total`)."

// Exactly is the truth that allows no difference.
func Exactly[N number](n N) Truth[N] { return Truth[N]{Least: n, Most: n} }

// Record is a row's cell for one kernel. Times are in seconds.
type Record struct {
	Row
	// Test is the function that compared.
	Test string
	// Kernel is [Kernel]'s name, Release what uname says.
	Kernel, Release string
	// Time says that the numbers are a time.
	Time bool
	// Compared is false if the machine let nothing be compared; Why says
	// what the matter was.
	Compared             bool
	Counted, Least, Most float64
	Why                  string
}

// Accuracy fails the test unless what was counted agrees with the truth, or
// records the comparison if KERNSCOPE_OUT is set. Of several records of one row
// the last holds, which is that of the attempt that passed.
func Accuracy[N number](t testing.TB, row Row, counted N, truth Truth[N]) {
	t.Helper()
	exact := counted == truth.Least && counted == truth.Most
	switch {
	case counted < truth.Least-min(truth.Below, truth.Least) || counted > truth.Most+truth.Above:
		t.Errorf("%s, %s: counted %v, %s says %v to %v, %v less and %v more are allowed",
			row.Metric, row.Workload, counted, row.Source, truth.Least, truth.Most, truth.Below, truth.Above)
		return
	case !exact && truth.Why == "":
		t.Errorf("%s, %s: counted %v, %s says %v to %v, and nothing explains the difference",
			row.Metric, row.Workload, counted, row.Source, truth.Least, truth.Most)
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
	r.write(t)
}

// NoAccuracy records that a machine which also does other things gave no
// occasion to compare. The matrix's machines always do.
func NoAccuracy(t testing.TB, row Row, why string) {
	t.Helper()
	if Kernel() != "" {
		t.Errorf("%s, %s: not compared: %s", row.Metric, row.Workload, why)
		return
	}
	Record{Row: row, Why: why}.write(t)
}

func (r Record) write(t testing.TB) {
	t.Helper()
	out := os.Getenv("KERNSCOPE_OUT")
	if out == "" {
		return
	}
	r.Test, _, _ = strings.Cut(t.Name(), "/")
	r.Kernel = Kernel()
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
