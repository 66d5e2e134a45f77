// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// fioResult is fio's own account of a run.
type fioResult struct {
	Read, Write, Trim fioSide
	Sync              struct {
		IOs uint64 `json:"total_ios"`
	}
}

type fioSide struct {
	IOs     uint64 `json:"total_ios"`
	Bytes   uint64 `json:"io_bytes"`
	Latency struct {
		Mean float64
	} `json:"lat_ns"`
	Completion struct {
		Percentile map[string]float64
	} `json:"clat_ns"`
}

// ns is the sum of all latencies, as the process saw them.
func (s fioSide) ns() uint64 { return uint64(math.Ceil(s.Latency.Mean * float64(s.IOs))) }

// median is that of the time from submission to completion, in ns.
func (s fioSide) median() float64 { return s.Completion.Percentile["50.000000"] }

// job is a workload for fio on one disk.
type job struct {
	disk    disk
	name    string
	options string
}

// fio runs jobs past the page cache, and returns the results by the jobs' names.
// The jobs of a step run at the same time. One call takes many jobs, for fio is
// slow to start, and to go on to the next step.
func fio(t testing.TB, steps ...[]job) map[string]fioResult {
	t.Helper()
	args := []string{
		"--output-format=json", "--eta=never", "--disk_util=0", "--clocksource=clock_gettime",
		"--thread", "--direct=1",
	}
	jobs := 0
	for _, step := range steps {
		for i, j := range step {
			args = append(args, "--name="+j.name, "--filename="+j.disk.path())
			for _, o := range strings.Fields(j.options) {
				args = append(args, "--"+o)
			}
			if i == 0 {
				args = append(args, "--stonewall") // waits for the step before
			}
			jobs++
		}
	}
	out := kerneltest.Command(t, "fio", args...)
	var result struct {
		Jobs []struct {
			Name string `json:"jobname"`
			fioResult
		}
	}
	// Notes may come first.
	if err := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):]), &result); err != nil {
		t.Fatalf("parsing fio's output: %v\n%s", err, out)
	}
	results := make(map[string]fioResult)
	for _, j := range result.Jobs {
		results[j.Name] = j.fioResult
	}
	equal(t, "fio's results", len(results), jobs)
	return results
}
