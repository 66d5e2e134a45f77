// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// Where there was less in the window than either of these, there is no alert on a quantile.
const (
	// enough is how many observations make a percentile.
	enough = 100
	// busy is which part of the time makes fewer matter: a disk that hangs completes few I/Os.
	busy = 1. / 20
	// hair is what a condition asks below its quantile. Exactly one of a hundred is not more than
	// one of a hundred, in whatever way the rates of the two forms are rounded.
	hair = 1e-9
)

// checkSlow finds what would make a condition that says nothing.
func checkSlow(s *collector.Slow) error {
	last := time.Duration(float64(metric.Seconds) * math.Exp2(8)) // the last bound of both units is not less
	switch {
	case s.Metric == "" || len(s.By) == 0:
		return errors.New("it needs a histogram, and labels")
	case s.Quantile <= 0 || s.Quantile >= 1:
		return fmt.Errorf("there is no quantile %v", s.Quantile)
	case s.Limit <= 0 || s.Limit >= last:
		return fmt.Errorf("no bucket has the limit %v", s.Limit)
	case s.Window < time.Minute:
		return fmt.Errorf("the window %v is shorter than a minute", s.Window)
	}
	return nil
}

// slow writes the condition for the native histogram where the server has it, and
// for the classic one. Both are the same condition: see [straight].
func slow(s *collector.Slow, unit metric.Unit) string {
	var (
		name   = suffixed(s.Metric, "_"+unit.String())
		window = "[" + model.Duration(s.Window).String() + "]"
		by     = func(labels ...string) string {
			return "sum by (" + strings.Join(append(s.By[:len(s.By):len(s.By)], labels...), ", ") + ") "
		}
		// condition compares a quantile of rates, and the growth of count and sum.
		condition = func(rate string, limit float64, count, sum string) string {
			return fmt.Sprintf("%s > %s\nand (%s >= %d\n  or %s >= %s)",
				inSeconds(unit, fmt.Sprintf("histogram_quantile(%v, %s)", s.Quantile-hair, rate)), decimal(limit),
				count, enough, inSeconds(unit, sum), decimal(busy*s.Window.Seconds()))
		}
		growth = by() + "(increase(" + name + window + "))"
	)
	native := condition(by()+"(rate("+name+window+"))", s.Limit.Seconds(), "histogram_count("+growth+")", "histogram_sum("+growth+")")
	classic := condition(by("le")+"(rate("+suffixed(name, "_bucket")+window+"))", straight(s.Limit, unit),
		by()+"(increase("+labelled(suffixed(name, "_bucket"), `le="+Inf"`)+window+"))", by()+"(increase("+suffixed(name, "_sum")+window+"))")
	return native + "\nor " + classic
}

// straight returns what Prometheus takes for a quantile of the classic histogram, in
// seconds, where it takes the limit for that of the native one. Both forms have a
// bucket with the same bounds around the limit. Prometheus draws a straight line
// within it in the classic form, and an exponential one in the native form.
func straight(limit time.Duration, unit metric.Unit) float64 {
	lower, upper, part := around(limit, unit)
	return math.Round(lower+(upper-lower)*part) / 1e9
}

// around returns the bounds of the bucket that has the limit, in nanoseconds, and
// which part of its observations is below the limit to the native form.
func around(limit time.Duration, unit metric.Unit) (lower, upper, part float64) {
	buckets := metric.NewBuckets(unit)
	lower, upper = buckets.SlotBounds(buckets.SlotOf(limit))
	return lower, upper, math.Log2(float64(limit)/lower) / math.Log2(upper/lower)
}

// slowScenarios returns what every condition on a quantile is tested with, besides
// what its alert brings, whose first series is the slow one: on both sides of the
// limit, on both sides of what is enough, and with few that take very long.
func slowScenarios(s *collector.Slow, name string, unit metric.Unit) ([]scenario, error) {
	const perMinute = 10_000
	_, _, part := around(s.Limit, unit)
	within := perMinute * (1 - s.Quantile) / (1 - part)
	if !(within < perMinute) {
		return nil, fmt.Errorf("limit %v is too near to a bound of buckets", s.Limit)
	}
	each := func(all ...observed) []series { return []series{{name: name, observed: all}} }
	next := func(count float64) []series {
		return each(observed{uint64(perMinute - count), s.Limit / 4}, observed{uint64(count), s.Limit})
	}
	long := 2 * s.Limit
	busyMinute := time.Duration(busy * float64(time.Minute))
	needed := enough / s.Window.Minutes()
	few := min(needed-1, 0.9*float64(busyMinute)/float64(long))
	return []scenario{
		{"fires just above the limit", next(math.Ceil(within)), true},
		{"is quiet just below the limit", next(math.Floor(within)), false},
		{"fires with just enough", each(observed{uint64(math.Ceil(needed + 1)), long}), true},
		{"is quiet with too few", each(observed{uint64(few), long}), false},
		{"is quiet on an idle host", each(observed{1, long}), false},
		{"fires on few that are very long", each(observed{1, long + busyMinute*4/3}), true},
	}, nil
}
