// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/template"
	"time"
)

// Report is everything that a run measured, as docs/OVERHEAD.md shows it.
type Report struct {
	Machine Machine
	Date    time.Time
	Took    time.Duration
	Quick   bool
	Effort  Effort
	Results []*Result
	// Skipped are cases that this machine cannot run, and collectors without a
	// case.
	Skipped  []Skip
	Scrape   *Scrape
	Exporter *Exporter
}

// Skip is what was not measured, and why.
type Skip struct {
	Case   string // or the collector that has none
	Reason string
}

// Verdict is a goal and whether the run met it.
type Verdict struct {
	Goal     string
	Measured string
	Met      bool
	// By is how far the measured value is from the limit: "18 % below".
	By  string
	Why string
}

//go:embed overhead.md.tmpl
var reportText string

// write writes the page to w.
func (r *Report) write(w io.Writer) error {
	page, err := template.New("overhead").Funcs(template.FuncMap{
		"q":      quantile,
		"median": median,
		"ns":     func(v float64) string { return number("%.0f", v) },
		"ns1":    func(v float64) string { return number("%.1f", v) },
		"ratio":  func(a, b float64) string { return number("%.2f×", a/b) },
		"per":    func(a, b float64) string { return number("%.2f", a/b) },
		"ms":     func(ns float64) string { return number("%.2f", ns/1e6) },
		"mb":     func(bytes float64) string { return number("%.1f", bytes/1e6) },
		"kb":     func(bytes float64) string { return number("%.0f", bytes/1e3) },
		"float":  func(n int64) float64 { return float64(n) },
		"list":   func(v ...variant) []variant { return v },
		"sum": func(m map[string]float64) float64 {
			var sum float64
			for v := range maps.Values(m) {
				sum += v
			}
			return sum
		},
	}).Parse(reportText)
	if err != nil {
		return err
	}
	return page.Execute(w, r)
}

// number formats a number. It returns a dash if there is none.
func number(format string, v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// Verdicts returns the verdicts on the goals of all cases and of the process.
func (r *Report) Verdicts() []Verdict {
	var all []Verdict
	for _, result := range r.Results {
		for _, goal := range result.Case.Goals {
			all = append(all, result.verdict(goal))
		}
	}
	if r.Exporter != nil {
		all = append(all, r.Exporter.verdicts(r.Machine.busy())...)
	}
	return all
}

// verdicts returns the verdicts on the goals of the process. The text busy says why times may be
// long that include waiting for a CPU.
func (x *Exporter) verdicts(busy string) []Verdict {
	slowest := slices.MaxFunc(x.Scrapes, func(a, b ScrapeTimes) int {
		return int(median(a.Times) - median(b.Times))
	})
	memory := judge("Resident memory with all collectors, after scrapes", 20, x.Resident/1e6, "%.1f MB")
	memory.Why = fmt.Sprintf("%.1f MB of it are pages of the program's file; the kernel takes them back when it needs memory", x.File/1e6)
	start := judge("Start of the process to the end of the first scrape", 0.3, median(x.Starts)/1e9, "%.2f s")
	start.Why = fmt.Sprintf("CPU time %.2f s%s", median(x.StartCPU)/1e9, busy)
	scrape := judge("Scrape of everything over HTTP, "+slowest.Format, 3, median(slowest.Times)/1e6, "%.2f ms")
	scrape.Why = fmt.Sprintf("CPU time %.2f ms%s", x.ScrapeCPU/1e6, busy)
	return []Verdict{memory, start, scrape}
}

// verdict returns the verdict on a goal of the case.
func (r *Result) verdict(g Goal) Verdict {
	cost := fmt.Sprintf("%s: cost per %s", r.Case.Name, r.Case.Event)
	var v Verdict
	if g.Over == without {
		v = judge(cost, g.Limit, r.Cost(withOurs), "%.0f ns")
	} else {
		v = judge(fmt.Sprintf("%s, of the %s's", cost, g.Over), g.Limit, r.Cost(withOurs)/r.Cost(g.Over), "%.2f×")
	}
	v.Why = g.Why
	return v
}

// judge compares a measured value with its limit.
func judge(what string, limit, measured float64, format string) Verdict {
	v := Verdict{
		Goal:     what + " ≤ " + fmt.Sprintf(format, limit),
		Measured: fmt.Sprintf(format, measured),
		Met:      measured <= limit,
	}
	side := "below"
	if !v.Met {
		side = "above"
	}
	v.By = fmt.Sprintf("%.0f %% %s", 100*max(measured/limit-1, 1-measured/limit), side)
	return v
}

// ByClock returns the results that have rounds by the clock.
func (r *Report) ByClock() []*Result {
	return slices.DeleteFunc(slices.Clone(r.Results), func(r *Result) bool { return r.Case.OnlyInside })
}

// Repeated returns the number of repeated turns in all results.
func (r *Report) Repeated() (n int) {
	for _, result := range r.Results {
		n += result.Repeated
	}
	return n
}

// Turns returns the number of turns in all results.
func (r *Report) Turns() (n int) {
	for _, result := range r.Results {
		n += result.Turns
	}
	return n
}
