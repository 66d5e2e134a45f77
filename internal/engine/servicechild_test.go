// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/metric"
	"github.com/kernscope/kernscope/internal/privilege"
	"github.com/kernscope/kernscope/internal/sandbox"
)

// A service gives its capabilities up for good, so it runs in a process of its
// own: this test binary, started again with a [serviceConfig] in the environment.
const serviceVariable = "KERNSCOPE_ENGINE_SERVICE"

func TestMain(m *testing.M) {
	text := os.Getenv(serviceVariable)
	pins, confined := os.LookupEnv(confinedVariable)
	var err error
	switch {
	case confined:
		err = attachAnew(pins)
	case text != "":
		err = serve(text)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serviceConfig is how a service runs the made-up collector.
type serviceConfig struct {
	// Ways are those of the collector: "kprobe".
	Ways []string
	// Forbid means that it must not hold capabilities.
	Forbid bool
	// Pins is where it pins; "" is nowhere.
	Pins string
}

// serviceReport is how a service fares.
type serviceReport struct {
	State engine.State
	// Links is what the collector has counted, Reread the state after that.
	Links  int
	Reread engine.State
	Left   privilege.Outcome
}

// serve runs the collector as command serve does. It writes a report for each
// line that it is sent, until there are no more.
func serve(text string) error {
	var how serviceConfig
	if err := json.Unmarshal([]byte(text), &how); err != nil {
		return err
	}
	machine, err := kernel.Open("")
	if err != nil {
		return err
	}
	holder := new(privilege.Holder)
	specs := []collector.Spec{links(how.Ways...)}
	cfg := engine.Config{
		Specs: specs, Buckets: metric.NewBuckets(metric.Microseconds), Machine: machine, Privileged: holder.Do,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if how.Pins != "" {
		if cfg.Pins, err = attach.OpenPins(how.Pins); err != nil {
			return err
		}
	}
	e := engine.New(cfg)
	defer e.Close()
	if err := e.Pin(); err != nil {
		return err
	}
	plan := privilege.Plan{Works: e.Check}
	for _, h := range engine.Holds(specs, e.States()) {
		plan.Hold = append(plan.Hold, privilege.Need(h))
	}
	if how.Forbid {
		plan.Forbid = "--keep-capabilities=none"
	}
	left, err := holder.Drop(plan)
	if err != nil {
		return err
	}
	confine := sandbox.Plan{}
	if how.Pins != "" {
		confine.Change = []string{how.Pins}
	}
	sandbox.Enter(confine)
	e.Follow()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		r := serviceReport{State: e.States()[0], Left: left}
		families, err := e.Families(context.Background(), nil)
		if err != nil {
			return err
		}
		for _, f := range families {
			if f.Name == "test_links_total" {
				r.Links = int(f.Samples[0].Value)
			}
		}
		r.Reread = e.States()[0]
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	}
	return nil
}
