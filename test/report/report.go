// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is a line of "go test -json"; see "go doc test2json".
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// test names one test of one package.
type test struct{ pkg, name string }

func (t test) String() string {
	return strings.TrimPrefix(t.pkg, "github.com/kernscope/kernscope/") + " " + t.name
}

// report is what is known of a run so far.
type report struct {
	out            io.Writer
	passed, failed int
	// output of the tests that have not ended.
	output map[test]*strings.Builder
	// refused are the tests that the kernel refused to run, by reason;
	// skipped those that had no right to skip.
	refused map[string][]test
	skipped []test
}

func newReport(out io.Writer) *report {
	return &report{
		out:     out,
		output:  make(map[test]*strings.Builder),
		refused: make(map[string][]test),
	}
}

// read takes events until the stream ends and calls shown after each, so that
// the user sees a package when it ends.
func (r *report) read(in io.Reader, shown func() error) error {
	lines := json.NewDecoder(in)
	for {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading go test -json: %w", err)
		}
		r.take(e)
		if err := shown(); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
}

func (r *report) take(e event) {
	switch {
	case e.Action == "build-output":
		io.WriteString(r.out, e.Output)
	case e.Test == "":
		r.takePackage(e)
	default:
		r.takeTest(test{e.Package, e.Test}, e)
	}
}

// takePackage shows the closing line of a package, whatever it printed outside
// of tests, and when it failed also the tests that never ended, as after a
// panic or a time-out.
func (r *report) takePackage(e event) {
	switch e.Action {
	case "output":
		if e.Output != "PASS\n" && !strings.HasSuffix(e.Output, "[no test files]\n") {
			io.WriteString(r.out, e.Output)
		}
	case "fail":
		for t, output := range r.output {
			if t.pkg == e.Package {
				r.failed++
				fmt.Fprintf(r.out, "--- NO END: %s\n%s", t, output)
				delete(r.output, t)
			}
		}
	}
}

func (r *report) takeTest(t test, e event) {
	output := r.output[t]
	if output == nil {
		output = new(strings.Builder)
		r.output[t] = output
	}
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			output.WriteString(e.Output)
		}
		return
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		io.WriteString(r.out, output.String())
	case "skip":
		if m := refusal.FindStringSubmatch(output.String()); m != nil {
			r.refused[m[1]] = append(r.refused[m[1]], t)
		} else {
			r.skipped = append(r.skipped, t)
			io.WriteString(r.out, output.String())
		}
	default: // run, pause, cont
		return
	}
	delete(r.output, t)
}

// refusal is the message of a skip whose reason is legal, as testing prints it.
var refusal = regexp.MustCompile(`(?m)^ *[^ ]+\.go:\d+: no-bpf: (.+)$`)

// close prints what was not run, and the count. It fails if a test did, if one
// skipped without right, or if there was none.
func (r *report) close() error {
	refused := 0
	for _, reason := range slices.Sorted(maps.Keys(r.refused)) {
		fmt.Fprintf(r.out, "\nNot run here, because the kernel refuses BPF: %s\n", reason)
		tests := r.refused[reason]
		slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(a.String(), b.String()) })
		for _, t := range tests {
			fmt.Fprintf(r.out, "  %s\n", t)
		}
		refused += len(tests)
	}
	for _, t := range r.skipped {
		fmt.Fprintf(r.out, "\nSkipped without right: %s (only \"no-bpf: \" is a reason)\n", t)
	}
	fmt.Fprintf(r.out, "\ntests: %d passed, %d failed, %d skipped\n", r.passed, r.failed, refused+len(r.skipped))
	switch {
	case r.failed > 0:
		return fmt.Errorf("%d tests failed", r.failed)
	case len(r.skipped) > 0:
		return fmt.Errorf("%d tests skipped without right", len(r.skipped))
	case r.passed == 0:
		return errors.New("no test passed")
	}
	return nil
}
