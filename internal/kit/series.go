// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// form is how a histogram of latencies comes to Prometheus, of which 99 of 100
// observations are at most 2^exponent of the unit and the last at most twice as
// much. So its 99th percentile is a bound of both forms, and nothing has to be
// interpolated.
type form struct {
	name  string
	write func(name string, exponent, minutes int) []inputSeries
}

// classic returns the series of the buckets that differ.
func classic(name string, exponent, minutes int) []inputSeries {
	var series []inputSeries
	for _, b := range []struct {
		le    float64
		count int
	}{
		{math.Ldexp(1, exponent-1), 0},
		{math.Ldexp(1, exponent), 99},
		{math.Ldexp(1, exponent+1), 100},
		{math.Inf(1), 100},
	} {
		le := decimal(b.le)
		series = append(series, inputSeries{
			Series: labelled(suffixed(name, "_bucket"), `le="`+le+`"`),
			Values: fmt.Sprintf("0+%dx%d", b.count, minutes),
		})
	}
	return series
}

// native returns the one series of a native histogram. Buckets of schema 3 are eight for each doubling, and
// number 0 ends at 1.
func native(name string, exponent, minutes int) []inputSeries {
	each := fmt.Sprintf("schema:3 offset:%d buckets:[99 0 0 0 0 0 0 0 1] count:100 sum:%s", 8*exponent, decimal(101*math.Ldexp(1, exponent)))
	return []inputSeries{{
		Series: name,
		Values: fmt.Sprintf("{{schema:3}}+{{%s}}x%d", each, minutes),
	}}
}

// input returns what Prometheus finds, a sample a minute.
func input(all []collector.Series, f form, unit metric.Unit, lasts time.Duration) []inputSeries {
	minutes := int(lasts / time.Minute)
	var written []inputSeries
	for _, s := range all {
		if s.Latency > 0 {
			exponent, _ := bound(s.Latency, unit)
			written = append(written, f.write(suffixed(s.Name, "_"+unit.String()), exponent, minutes)...)
			continue
		}
		first := s.Value
		if s.PerSecond > 0 {
			first += 1e6 // a counter that starts at zero grows less, to Prometheus
		}
		written = append(written, inputSeries{
			Series: s.Name,
			Values: fmt.Sprintf("%s+%sx%d", decimal(first), decimal(s.PerSecond*60), minutes),
		})
	}
	return written
}

// bound returns the exponent of the power of two, of the unit, that is not less than
// a latency, and that power in seconds.
func bound(latency time.Duration, unit metric.Unit) (exponent int, seconds float64) {
	exponent = int(math.Ceil(math.Log2(float64(latency) / float64(unit))))
	return exponent, math.Ldexp(1, exponent) / float64(metric.Seconds/unit)
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// labelled adds a label to a series.
func labelled(series, label string) string {
	if labels, found := strings.CutSuffix(series, "}"); found {
		return labels + "," + label + "}"
	}
	return series + "{" + label + "}"
}
