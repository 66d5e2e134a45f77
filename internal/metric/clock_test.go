// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"
)

// The wall clock is set back and forth after something began.
func TestBootClock(t *testing.T) {
	var boot time.Duration
	wall := time.Unix(1_800_000_000, 0)
	c := &BootClock{read: func(clock int32) time.Duration {
		if clock == unix.CLOCK_BOOTTIME {
			return boot
		}
		return time.Duration(wall.UnixNano())
	}}
	pass := func(d time.Duration) { boot, wall = boot+d, wall.Add(d) }
	pass(time.Hour)
	began := c.Now()
	for _, step := range []struct {
		set   time.Duration // how far the wall clock is set
		after time.Duration // how long after the beginning, in all
	}{
		{0, 0}, {0, time.Minute}, {-24 * time.Hour, time.Minute}, {0, time.Hour}, {48 * time.Hour, 2 * time.Hour},
		{-time.Second, 2 * time.Hour}, {-50 * 365 * 24 * time.Hour, 3 * time.Hour},
	} {
		pass(began + step.after - boot)
		wall = wall.Add(step.set)
		if got, want := c.Wall(began), wall.Add(-step.after); !got.Equal(want) {
			t.Errorf("%v after the beginning, with the clock set by %v: %v, want %v", step.after, step.set, got, want)
		}
	}
	// What lies between asking the two clocks, or a slow one, changes nothing.
	first := c.Wall(began)
	for _, late := range []time.Duration{time.Microsecond, 50 * time.Millisecond, -time.Millisecond} {
		wall = wall.Add(late)
		if again := c.Wall(began); !again.Equal(first) {
			t.Errorf("asked %v apart: %v, and %v before", late, again, first)
		}
		wall = wall.Add(-late)
	}
	if got := c.Wall(boot + time.Hour); got.After(wall) {
		t.Errorf("%v is in the future", got)
	}
}

// The machine's two clocks agree with themselves.
func TestMachinesBootClock(t *testing.T) {
	c := NewBootClock()
	began := c.Now()
	then, before := c.Wall(began), time.Now()
	if d := before.Sub(then); d < 0 || d > time.Minute {
		t.Errorf("a time that was just now is %v ago", d)
	}
	if again := c.Wall(began); !again.Equal(then) {
		t.Errorf("it was %v, and now it was %v", then, again)
	}
}

// What client_golang counts has no time at which it began: client_golang takes it
// from the wall clock once and for all.
func TestOthersHaveNoCreated(t *testing.T) {
	others := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "scrapes_total", Help: "Scrapes."})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "size", Help: "Sizes."})
	summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "time", Help: "Times."})
	others.MustRegister(counter, histogram, summary)
	counter.Inc()
	histogram.Observe(1)
	summary.Observe(1)
	found, err := Families{{
		Name: "ours_total", Help: "Ours.", Type: Counter, Created: created, Samples: []Sample{{Value: 1}},
	}}.GatherWith(others)
	if err != nil || len(found) != 4 {
		t.Fatalf("%d families, %v", len(found), err)
	}
	for _, f := range found {
		m := f.Metric[0]
		at := cmp.Or(m.GetCounter().GetCreatedTimestamp(), m.GetHistogram().GetCreatedTimestamp(), m.GetSummary().GetCreatedTimestamp())
		if (at != nil) != (f.GetName() == "ours_total") {
			t.Errorf("%s began at %v", f.GetName(), at)
		}
	}
	if m := found[slices.IndexFunc(found, func(f *dto.MetricFamily) bool { return f.GetName() == "scrapes_total" })].Metric[0]; m.GetCounter().GetValue() != 1 {
		t.Errorf("the counter is %v", m)
	}
}
