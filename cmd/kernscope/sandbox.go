// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
	"github.com/kernscope/kernscope/internal/sandbox"
	"github.com/kernscope/kernscope/internal/server"
)

// confinement returns what serving takes from now on: these collectors, where
// they are pinned, where cgroups are mounted, and the server's addresses and web configuration.
func (f *serveFlags) confinement(specs []collector.Spec, addresses []net.Addr) (sandbox.Plan, error) {
	var p sandbox.Plan
	var err error
	if p.Read, err = server.Folders(*f.web.WebConfigFile); err != nil {
		return p, err
	}
	p.Read = append(p.Read, label.CgroupFolders("/proc")...)
	if *f.pin.on {
		p.Change = []string{*f.pin.directory}
	}
	for _, a := range addresses {
		if a.Network() == "unix" && !strings.HasPrefix(a.String(), "@") {
			p.Remove = append(p.Remove, filepath.Dir(a.String()))
		}
	}
	for _, s := range specs {
		for _, n := range s.Needs {
			p.Devices = append(p.Devices, n.Devices...)
			p.Sockets = p.Sockets || len(n.Sockets) > 0
			p.Namespaces = p.Namespaces || len(n.Namespaces) > 0
		}
	}
	return p, nil
}

// confine enters the sandbox, unless the user does not want it, and says what is
// in force.
func (f *serveFlags) confine(plan sandbox.Plan, logger *slog.Logger, self *prometheus.Registry) {
	if !*f.sandbox {
		return
	}
	parts := sandbox.Enter(plan)
	logSandbox(logger, parts)
	self.MustRegister(sandboxParts(parts))
}

// logSandbox says which parts of the sandbox are in force, and why others are not.
func logSandbox(logger *slog.Logger, parts []sandbox.Part) {
	for _, p := range parts {
		if p.Reason == "" {
			logger.Info("Confined", "by", p.Name, "forbids", p.Forbids)
		} else {
			logger.Warn("Not confined", "by", p.Name, "reason", p.Reason, "cost", "whoever takes over this process is not kept from "+p.Forbids)
		}
	}
}

// sandboxParts returns a metric with a sample for each part of the sandbox.
func sandboxParts(parts []sandbox.Part) prometheus.Collector {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kernscope_sandbox",
		Help: "Whether a part of the sandbox of the process is in force, and the reason if it is not.",
	}, []string{"part", "reason"})
	for _, p := range parts {
		value := 0.0
		if p.Reason == "" {
			value = 1
		}
		gauge.WithLabelValues(p.Name, p.Reason).Set(value)
	}
	return gauge
}
