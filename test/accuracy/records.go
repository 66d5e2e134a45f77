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

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// native is the column of the machine that runs the tests without a guest.
const native = "native"

// readRecords reads what the tests have left in the machines' folders.
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
			if r.Machine == "" {
				r.Machine = native
			}
			records = append(records, r)
		}
	}
	return records, nil
}

// readTested returns the names of the collectors that the matrix tested on
// every machine that they are due on, from its list of machines and import paths.
func readTested(dir string, machines []machine, specs []collector.Spec) (names []string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "tested"))
	if err != nil {
		return nil, fmt.Errorf("reading what was tested: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	for _, spec := range specs {
		folder := strings.ReplaceAll(spec.Name, "-", "")
		if !slices.ContainsFunc(machines, func(m machine) bool {
			return dueOn(spec, m) && !slices.Contains(lines, m.name+"\tgithub.com/kernscope/kernscope/collector/"+folder)
		}) {
			names = append(names, spec.Name)
		}
	}
	return names, nil
}

// results are a run's records in order.
type results struct {
	machines []string          // the columns
	releases map[string]string // by machine, of those that recorded something
	cells    map[kerneltest.Row]map[string]kerneltest.Record
	// disturbed are the records that say that a test was not conclusive.
	disturbed []kerneltest.Record
}

// collect puts records into rows and columns. Of several of one cell the last
// is taken: a test that is tried again records again.
func collect(records []kerneltest.Record, matrix []string) (results, error) {
	r := results{
		machines: append(slices.Clone(matrix), native),
		releases: make(map[string]string),
		cells:    make(map[kerneltest.Row]map[string]kerneltest.Record),
	}
	for _, record := range records {
		if !slices.Contains(r.machines, record.Machine) {
			return r, fmt.Errorf("records of a machine %q, which the matrix does not have", record.Machine)
		}
		r.releases[record.Machine] = record.Release
		if record.Row == (kerneltest.Row{}) {
			r.disturbed = append(r.disturbed, record)
			continue
		}
		row := r.cells[record.Row]
		if row == nil {
			row = make(map[string]kerneltest.Record)
			r.cells[record.Row] = row
		}
		if old, ok := row[record.Machine]; ok && old.Test != record.Test {
			return r, fmt.Errorf("%s and %s both record %s, %s", old.Test, record.Test, record.Metric, record.Workload)
		}
		row[record.Machine] = record
	}
	r.fill()
	var errs []error
	for _, k := range matrix {
		if r.releases[k] == "" {
			errs = append(errs, fmt.Errorf("nothing was recorded on machine %s", k))
		}
	}
	for row, cells := range r.cells {
		for k, c := range cells {
			if !explained(c) {
				errs = append(errs, fmt.Errorf("machine %s: nothing explains the difference of %s, %s: counted %v, %s says %v to %v",
					k, row.Metric, row.Workload, c.Counted, row.Source, c.Least, c.Most))
			}
		}
	}
	return r, errors.Join(errs...)
}

// fill adds, of the rows that a disturbed test has not recorded, that they were
// not compared. Which rows a test has, the other machines say.
func (r results) fill() {
	for _, d := range r.disturbed {
		for row, cells := range r.cells {
			_, recorded := cells[d.Machine]
			if !recorded && slices.ContainsFunc(slices.Collect(maps.Values(cells)), func(c kerneltest.Record) bool { return c.Test == d.Test }) {
				d.Row = row
				cells[d.Machine] = d
			}
		}
	}
}

func exact(r kerneltest.Record) bool {
	return r.Compared && r.Counted == r.Least && r.Counted == r.Most
}

// explained reports whether there is no difference, or a reason for it. Only a
// machine that does other things, too, has a reason not to compare.
func explained(r kerneltest.Record) bool {
	return exact(r) || r.Why != "" && (r.Compared || r.Machine == native)
}

// refusesBPF returns why no test can run on this machine's own kernel, "" if
// one can.
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
