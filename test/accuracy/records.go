// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// native is the column of the machine's own kernel.
const native = "native"

// readKernels are the names of the matrix's kernels.
func readKernels(path string) (names []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the list of kernels: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			names = append(names, words[0])
		}
	}
	return names, nil
}

// readRecords reads what the tests have left in the kernels' folders.
func readRecords(dir string) (records []kerneltest.Record, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", kerneltest.AccuracyFile))
	if err != nil {
		return nil, fmt.Errorf("looking for records: %w", err)
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading records: %w", err)
		}
		defer f.Close()
		lines := json.NewDecoder(f)
		for {
			var r kerneltest.Record
			if err := lines.Decode(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("reading %s: %w", path, err)
			}
			if r.Kernel == "" {
				r.Kernel = native
			}
			records = append(records, r)
		}
	}
	return records, nil
}

// results are a run's records in order.
type results struct {
	kernels  []string          // the columns
	releases map[string]string // by kernel, of those that recorded something
	cells    map[kerneltest.Row]map[string]kerneltest.Record
	// disturbed are the records that say that a test was not conclusive.
	disturbed []kerneltest.Record
}

// collect puts records into rows and columns. Of several of one cell the last
// is taken: a test that is tried again records again.
func collect(records []kerneltest.Record, matrix []string) (results, error) {
	r := results{
		kernels:  append(slices.Clone(matrix), native),
		releases: make(map[string]string),
		cells:    make(map[kerneltest.Row]map[string]kerneltest.Record),
	}
	for _, record := range records {
		if !slices.Contains(r.kernels, record.Kernel) {
			return r, fmt.Errorf("records of a kernel %q, which the matrix does not have", record.Kernel)
		}
		r.releases[record.Kernel] = record.Release
		if record.Row == (kerneltest.Row{}) {
			r.disturbed = append(r.disturbed, record)
			continue
		}
		row := r.cells[record.Row]
		if row == nil {
			row = make(map[string]kerneltest.Record)
			r.cells[record.Row] = row
		}
		if old, ok := row[record.Kernel]; ok && old.Test != record.Test {
			return r, fmt.Errorf("%s and %s both record %s, %s", old.Test, record.Test, record.Metric, record.Workload)
		}
		row[record.Kernel] = record
	}
	r.fill()
	var errs []error
	for _, k := range matrix {
		if r.releases[k] == "" {
			errs = append(errs, fmt.Errorf("nothing was recorded on kernel %s", k))
		}
	}
	for row, cells := range r.cells {
		for k, c := range cells {
			if !explained(c) {
				errs = append(errs, fmt.Errorf("kernel %s: nothing explains the difference of %s, %s: counted %v, %s says %v to %v",
					k, row.Metric, row.Workload, c.Counted, row.Source, c.Least, c.Most))
			}
		}
	}
	return r, errors.Join(errs...)
}

// fill says of the rows that a disturbed test has not recorded that they were
// not compared. Which rows a test has, the other machines say.
func (r results) fill() {
	for _, d := range r.disturbed {
		for row, cells := range r.cells {
			_, recorded := cells[d.Kernel]
			if !recorded && slices.ContainsFunc(slices.Collect(maps.Values(cells)), func(c kerneltest.Record) bool { return c.Test == d.Test }) {
				d.Row = row
				cells[d.Kernel] = d
			}
		}
	}
}

func exact(r kerneltest.Record) bool {
	return r.Compared && r.Counted == r.Least && r.Counted == r.Most
}

// explained says whether there is no difference, or a reason for it. Only a
// machine that does other things, too, has a reason not to compare.
func explained(r kerneltest.Record) bool {
	return exact(r) || r.Why != "" && (r.Compared || r.Kernel == native)
}

// refusesBPF is why no test can run on this machine's own kernel, "" if one can.
func refusesBPF() string {
	machine, err := kernel.Open("")
	if err != nil {
		return err.Error()
	}
	if access := machine.Access(); access.Answer != kernel.Yes {
		return access.Reason
	}
	return ""
}
