// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/privilege"
)

// holding returns which capabilities stay: those to keep in effect, and those
// that the collectors take for moments unless the flag, as the user wrote it,
// forbids it.
func holding(specs []collector.Spec, states []engine.State, flag string, keep []string, works func() error) privilege.Plan {
	plan := privilege.Plan{Keep: keep, Works: works}
	for _, h := range engine.Holds(specs, states) {
		plan.Hold = append(plan.Hold, privilege.Need(h))
	}
	if privilege.IsNone(flag) {
		plan.Forbid = "--keep-capabilities=none"
	}
	return plan
}

// logCapabilities says which capabilities are left, and what those cost that
// are not.
func logCapabilities(logger *slog.Logger, left privilege.Outcome) {
	for _, k := range left.Kept {
		logger.Info("Keeping a capability", "capability", k.Name, "reason", k.Reason)
	}
	for _, h := range left.Held {
		logger.Info("Holding a capability for moments", "capability", h.Name, "reason", h.Reason)
	}
	for _, d := range left.Denied {
		logger.Warn("Not holding a capability", "capability", d.Capability, "for", d.Reason, "reason", d.Why, "cost", d.Cost)
	}
}

// heldCapabilities returns a metric with a sample for each reason to hold a
// capability.
func heldCapabilities(held []privilege.Held) prometheus.Collector {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kernscope_held_capability",
		Help: "Capabilities that the process may take for moments, and what for. They are not in effect otherwise.",
	}, []string{"capability", "reason"})
	for _, h := range held {
		gauge.WithLabelValues(h.Name, h.Reason).Set(1)
	}
	return gauge
}
