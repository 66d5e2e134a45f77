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

// reason is why a test was not run: a legal kind, and the test's own words.
type reason struct{ kind, words string }

// disturbed is a test that ran and proved nothing (kerneltest.Conclusive), with
// its own words.
type disturbed struct {
	test  test
	words string
}

// legal are the kinds of reason to skip, with what they mean to the user.
var legal = map[string]string{
	"no-bpf":  "Not run here, because the kernel refuses BPF",
	"vm-only": "Not run here, but by make test-vm",
}

// legalSkip is the message of a skip for a legal reason, as testing prints it.
var legalSkip = regexp.MustCompile(`(?m)^ *[^ ]+\.go:\d+: (no-bpf|vm-only|not-conclusive): (.+)$`)

// report is what is known of a run so far.
type report struct {
	out                          io.Writer
	passed, failed, inconclusive int
	// output of the tests that have not ended.
	output map[test]*strings.Builder
	// broken are the packages of which a test failed.
	broken map[string]bool
	// notRun are the tests with a legal reason to skip, by that reason;
	// skipped those without.
	notRun  map[reason][]test
	skipped []test
	// disturbed are the tests that were not conclusive, doubted those above
	// them, which prove less than they should.
	disturbed []disturbed
	doubted   map[test]bool
}

func newReport(out io.Writer) *report {
	return &report{
		out:     out,
		output:  make(map[test]*strings.Builder),
		broken:  make(map[string]bool),
		notRun:  make(map[reason][]test),
		doubted: make(map[test]bool),
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
				r.broken[t.pkg] = true
				fmt.Fprintf(r.out, "--- NO END: %s\n%s", t, output)
				delete(r.output, t)
			}
		}
		if !r.broken[e.Package] {
			r.failed++ // not built, or ended outside of a test
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
		if r.doubted[t] {
			r.inconclusive++
		} else {
			r.passed++
		}
	case "fail":
		r.failed++
		r.broken[t.pkg] = true
		io.WriteString(r.out, output.String())
	case "skip":
		if m := legalSkip.FindStringSubmatch(output.String()); m != nil {
			r.takeSkip(t, m[1], m[2])
		} else {
			r.skipped = append(r.skipped, t)
			io.WriteString(r.out, output.String())
		}
	default: // run, pause, cont
		return
	}
	delete(r.output, t)
}

// takeSkip files a test that skipped with a legal reason.
func (r *report) takeSkip(t test, kind, words string) {
	if kind != "not-conclusive" {
		why := reason{kind, words}
		r.notRun[why] = append(r.notRun[why], t)
		return
	}
	r.inconclusive++
	r.disturbed = append(r.disturbed, disturbed{t, words})
	for i := strings.LastIndexByte(t.name, '/'); i >= 0; i = strings.LastIndexByte(t.name, '/') {
		t.name = t.name[:i]
		r.doubted[t] = true
	}
}

// close prints what was not run or not conclusive, and the count. It fails if a
// test did, if one skipped without right, or if there was none.
func (r *report) close() error {
	skipped := len(r.skipped)
	reasons := slices.SortedFunc(maps.Keys(r.notRun), func(a, b reason) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.words, b.words))
	})
	for _, why := range reasons {
		fmt.Fprintf(r.out, "\n%s: %s\n", legal[why.kind], why.words)
		for _, t := range r.notRun[why] {
			fmt.Fprintf(r.out, "  %s\n", t)
		}
		skipped += len(r.notRun[why])
	}
	if len(r.disturbed) > 0 {
		fmt.Fprintf(r.out, "\nNOT CONCLUSIVE, neither passed nor failed, because others disturbed every attempt. On a quieter machine, run again:\n")
	}
	for _, d := range r.disturbed {
		fmt.Fprintf(r.out, "  %s: %s\n", d.test, d.words)
	}
	for _, t := range r.skipped {
		fmt.Fprintf(r.out, "\nSkipped without right: %s (\"no-bpf: ...\", \"vm-only: ...\" and \"not-conclusive: ...\" are the reasons)\n", t)
	}
	fmt.Fprintf(r.out, "\ntests: %d passed, %d failed, %d skipped", r.passed, r.failed, skipped)
	if r.inconclusive > 0 {
		fmt.Fprintf(r.out, ", %d NOT CONCLUSIVE", r.inconclusive)
	}
	fmt.Fprintln(r.out)
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
