// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/internal/metric"
)

//go:embed distributions.html
var distributionsText string

// distributionsTemplate is parsed once. A mistake in it makes every test fail.
var distributionsTemplate = template.Must(template.New("distributions").Parse(distributionsText))

// mostCharts is how many charts of a family the page draws: those with the most events.
const mostCharts = 24

// distribution is a family of histograms as the page draws it. All its charts share one logarithmic
// axis.
type distribution struct {
	Name, Help string
	Charts     []chart
	Ticks      []tick
	Left       int // the number of charts that are not drawn
}

// chart is one histogram. Positions and sizes are in percent.
type chart struct {
	Labels        string
	Count         uint64
	Zero          uint64 // events of 0 ns, for which a logarithmic axis has no bar
	P50, P99, Max string
	Bars          []bar
}

type bar struct {
	X, Width, Top, Height float64
	Title                 string
}

type tick struct {
	X    float64
	Text string
}

// distributionsPage serves the page that draws every histogram, as counted since the collectors
// were attached.
type distributionsPage struct {
	server *Server
	only   string
}

func (p *distributionsPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cfg := &p.server.cfg
	var names []string
	for _, c := range p.server.collectors(p.only) {
		names = append(names, c.Name)
	}
	families, err := cfg.Families(r.Context(), names)
	if err != nil {
		answer(w, http.StatusInternalServerError, "Reading the collectors failed: "+err.Error())
		return
	}
	done, err := p.server.pen(r)
	if err != nil {
		answer(w, http.StatusInternalServerError, "Drawing failed: "+err.Error())
		return
	}
	defer done()
	var page []distribution
	for _, f := range families {
		if d, ok := draw(f); ok {
			page = append(page, d)
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := distributionsTemplate.Execute(w, page); err != nil {
		cfg.Logger.Debug("Sending the page of distributions failed", "err", err)
	}
}

// draw returns the charts of a family of durations. ok is false if no histogram of the family has
// counted anything.
func draw(f metric.Family) (d distribution, ok bool) {
	d = distribution{Name: f.Name, Help: f.Help}
	low, high := math.Inf(1), 0.0
	samples := make([]metric.Sample, 0, len(f.Samples))
	for _, s := range f.Samples {
		if s.Hist == nil || s.Hist.Count() == 0 {
			continue
		}
		samples = append(samples, s)
		for slot, n := range s.Hist.Slots {
			if n > 0 && slot > 0 {
				lower, upper := edges(s.Hist.Buckets, slot)
				low, high = min(low, lower), max(high, upper)
			}
		}
	}
	slices.SortStableFunc(samples, func(a, b metric.Sample) int { return cmp.Compare(b.Hist.Count(), a.Hist.Count()) })
	if len(samples) > mostCharts {
		d.Left = len(samples) - mostCharts
		samples = samples[:mostCharts]
	}
	if len(samples) == 0 {
		return d, false
	}
	at := func(ns float64) float64 { return 100 * math.Log2(ns/low) / math.Log2(high/low) }
	for _, s := range samples {
		d.Charts = append(d.Charts, drawOne(f.Labels, s, at))
	}
	for ns := 1.0; ns <= high; ns *= 10 {
		if ns >= low {
			d.Ticks = append(d.Ticks, tick{X: at(ns), Text: duration(ns)})
		}
	}
	return d, true
}

// drawOne returns the chart of one histogram. The function at gives the position of a time on the
// axis.
func drawOne(names []string, s metric.Sample, at func(float64) float64) chart {
	var labels []string
	for i, name := range names {
		labels = append(labels, name+"="+s.Labels[i])
	}
	c := chart{Labels: strings.Join(labels, " "), Count: s.Hist.Count(), Zero: s.Hist.Slots[0]}
	c.P50, c.P99, c.Max = quantile(s.Hist, 0.5), quantile(s.Hist, 0.99), quantile(s.Hist, 1)
	most := slices.Max(s.Hist.Slots[1:])
	for slot, n := range s.Hist.Slots {
		if n == 0 || slot == 0 {
			continue
		}
		lower, upper := edges(s.Hist.Buckets, slot)
		// The height is logarithmic, so that one slow event in a million is visible.
		height := 100 * math.Log2(1+float64(n)) / math.Log2(1+float64(most))
		c.Bars = append(c.Bars, bar{
			X: at(lower), Width: at(upper) - at(lower), Top: 100 - height, Height: height,
			Title: fmt.Sprintf("%d of %s to %s", n, duration(lower), duration(upper)),
		})
	}
	return c
}

// edges returns the bounds of a slot in nanoseconds, such that a logarithmic axis can show them.
// The slot must not be the first, which holds zeros.
func edges(l *metric.Buckets, slot int) (lower, upper float64) {
	lower, upper = l.SlotBounds(slot)
	if math.IsInf(upper, 1) {
		upper = 2 * lower
	}
	return max(lower, upper/2), upper
}

// quantile returns the upper bound of the slot in which a quantile lies.
func quantile(h *metric.Hist, q float64) string {
	rank := uint64(math.Ceil(q * float64(h.Count())))
	var seen uint64
	for slot, n := range h.Slots {
		if seen += n; n > 0 && seen >= rank {
			lower, upper := h.Buckets.SlotBounds(slot)
			if math.IsInf(upper, 1) {
				return "over " + duration(lower)
			}
			return duration(upper)
		}
	}
	return ""
}

// duration returns a time in ns as text, with three digits and a fitting unit.
func duration(ns float64) string {
	for _, u := range []struct {
		name string
		ns   float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= u.ns {
			return fmt.Sprintf("%.3g %s", ns/u.ns, u.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}
