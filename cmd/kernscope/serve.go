// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/kit"
	"github.com/kernscope/kernscope/internal/metric"
	"github.com/kernscope/kernscope/internal/privilege"
	"github.com/kernscope/kernscope/internal/server"
)

// serveFlags are the flags of the command that serves.
type serveFlags struct {
	collectors *collectorFlags
	named      *[]string
	web        *web.FlagConfig
	addressSet bool
	path       *string
	maxScrapes *int
	ready      *string
	openProbes *bool
	noProcess  *bool
	compat     *bool
	keep       *string
	pin        *pinFlags
	sandbox    *bool
}

// addServe adds the command that serves metrics until it is told to stop.
func addServe(app *kingpin.Application, flags *collectorFlags) (string, action) {
	f := &serveFlags{collectors: flags}
	cmd := app.Command("serve", "Attach and serve metrics. A single named collector is served on its own port.").Default()
	f.named = flags.addNamed(cmd, "Only these collectors; each must run on this machine.")
	f.web = kingpinflag.AddFlags(cmd, fmt.Sprintf(":%d", kit.Port))
	cmd.GetFlag("web.listen-address").Help("Address to serve on; may be given again. :9436 or [::1]:9436; unix:///run/kernscope.sock?mode=0660, a socket; vsock://:9436, for the host of this virtual machine.").IsSetByUser(&f.addressSet)
	f.path = cmd.Flag("web.telemetry-path", "Path of the metrics.").Default("/metrics").String()
	f.maxScrapes = cmd.Flag("web.max-requests", "Scrapes that may run at once; more get status 503. 0 is no limit.").Default("100").Int()
	f.ready = cmd.Flag("web.ready", "Collectors that must run for /-/ready to answer 200: any (one is enough), all, or names separated by commas. One that waits counts as running.").Default("any").PlaceHolder("any|all|NAME,...").String()
	f.openProbes = cmd.Flag("web.open-probes", "Answer /-/healthy and /-/ready without the password that --web.config.file asks for.").Bool()
	f.noProcess = cmd.Flag("web.disable-exporter-metrics", "Leave out the metrics about the exporter's own process (process_*, go_*, promhttp_*).").Bool()
	f.compat = cmd.Flag("compat-ports", "Serve every collector on its own port as well.").Bool()
	f.keep = cmd.Flag("keep-capabilities", "Capabilities to keep in effect after attaching, separated by commas; \"all\"; or \"none\", which also forbids to hold those that a collector takes for moments.").String()
	f.pin = addPinFlags(cmd, "Go on counting when the exporter ends; the next start goes on from there. \"kernscope textfile --unpin\" ends it.", "false")
	f.sandbox = cmd.Flag("sandbox", "After attaching, forbid this process to start programs, to write files, to open sockets, and to read files that it does not need.").Default("true").Bool()
	return cmd.FullCommand(), f.serve
}

// serve lives the life of the process: probe, listen, load, attach, pin, give
// privileges up, enter the sandbox, be ready; then close in reverse. It listens
// first, since the port is what most often fails. Clients that come early wait.
func (f *serveFlags) serve(ctx context.Context, env environment) error {
	specs, err := f.collectors.chosen(*f.named)
	if err != nil {
		return err
	}
	keep, err := privilege.Parse(*f.keep)
	if err != nil {
		return fmt.Errorf("flag --keep-capabilities: %w: %w", err, errUsage)
	}
	ready, err := parseReadiness(*f.ready, specs)
	if err != nil {
		return err
	}
	if len(*f.named) > 0 && len(specs) == 1 && specs[0].Port != 0 && !f.addressSet {
		*f.web.WebListenAddresses = []string{fmt.Sprintf(":%d", specs[0].Port)}
		*f.compat = false // it is on its own port
	}
	if err := server.Check(*f.path, *f.maxScrapes, *f.web.WebConfigFile); err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	pause, err := watchdogPause()
	if err != nil {
		return err
	}
	cfg, err := f.collectors.engineConfig(specs, env.logger)
	if err != nil {
		return err
	}
	// A user without privileges made a mistake; root without them is in a
	// container, where the reasons are worth serving.
	if access := cfg.Machine.Access(); access.Answer != kernel.Yes && os.Geteuid() != 0 {
		return fmt.Errorf("%s; %s", access.Reason, access.Remedy)
	}

	if cfg.Pins, err = f.pin.open(env.logger); err != nil {
		return err
	}
	holder := new(privilege.Holder)
	cfg.Privileged = holder.Do

	self := f.selfRegistry()
	var e *engine.Engine
	s, err := server.Listen(server.Config{
		Families: endingWith(ctx, func(ctx context.Context, names []string) ([]metric.Family, error) {
			return e.Families(ctx, names)
		}),
		Collectors:    func() []server.Collector { return describe(specs, e) },
		Unready:       func() error { return ready.check(e.States()) },
		SelfMetrics:   self,
		Version:       version.Info(),
		TelemetryPath: *f.path,
		MaxRequests:   *f.maxScrapes,
		Web:           f.web,
		CompatPorts:   *f.compat,
		OpenProbes:    *f.openProbes,
		Logger:        env.logger,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	e = engine.NewUntil(ctx, cfg)
	defer e.Close()
	if ctx.Err() != nil {
		return nil
	}
	if err := namedRun(*f.named, e); err != nil {
		return err
	}
	// While sockets can be opened.
	systemd := &notifier{logger: env.logger}
	systemd.open()
	confined, err := f.confinement(specs, s.Addresses())
	if err != nil {
		return err
	}
	left, err := f.settle(cfg.Pins, holder, holding(specs, e.States(), *f.keep, keep, e.Check), e)
	if err != nil {
		return errors.Join(err, e.Unpin())
	}
	logCapabilities(env.logger, left)
	if len(left.Held) > 0 {
		self.MustRegister(heldCapabilities(left.Held))
	}
	f.confine(confined, env.logger, self)
	e.Follow()
	if err := shedStart(); err != nil {
		env.logger.Debug("Keeping the pages that only the start needed", "err", err)
	}
	if openToAll(s.Addresses(), *f.web.WebConfigFile) {
		env.logger.Warn("Whoever reaches the address may read the metrics, which name processes, peers and devices: --web.config.file adds TLS and passwords")
	}
	s.LimitConnections(spareDescriptors())
	s.Ready()
	systemd.notify(daemon.SdNotifyReady)
	go watchdog(ctx, pause, systemd, func(ctx context.Context) error {
		_, err := e.Families(ctx, nil)
		return err
	})
	err = s.Serve(ctx)
	systemd.notify(daemon.SdNotifyStopping)
	return err
}

// openToAll reports whether other machines can read an address without a password
// or a certificate.
func openToAll(addresses []net.Addr, webConfig string) bool {
	return webConfig == "" && slices.ContainsFunc(addresses, func(a net.Addr) bool {
		tcp, ok := a.(*net.TCPAddr)
		return ok && !tcp.IP.IsLoopback()
	})
}

// settle pins what is attached, and gives privileges up. It returns which are left.
// Those that are gone may have been what the web configuration was read with.
func (f *serveFlags) settle(pins *attach.Pins, holder *privilege.Holder, plan privilege.Plan, e *engine.Engine) (left privilege.Outcome, err error) {
	if err := e.Pin(); err != nil {
		return left, err
	}
	if err := unpin(pins, f.collectors.switchedOff(*f.named)); err != nil {
		return left, err
	}
	if left, err = holder.Drop(plan); err != nil {
		return left, fmt.Errorf("giving up capabilities: %w", err)
	}
	if err := server.Check(*f.path, *f.maxScrapes, *f.web.WebConfigFile); err != nil {
		return left, fmt.Errorf("after giving up capabilities: %w", err)
	}
	return left, nil
}

// explain returns an error that says why a collector does not run.
func explain(s engine.State) error {
	err := fmt.Errorf("%s: %s", fares(s), s.Reason)
	if s.Remedy != "" {
		err = fmt.Errorf("%w; remedy: %s", err, s.Remedy)
	}
	return err
}

// scrapeGrace is how long a scrape may go on after the end was asked for.
const scrapeGrace = 400 * time.Millisecond

// endingWith ends readings soon after ctx ends: a collector that hangs does not
// keep the program from ending.
func endingWith(ctx context.Context, source server.Families) server.Families {
	return func(scrape context.Context, names []string) ([]metric.Family, error) {
		scrape, cancel := context.WithCancel(scrape)
		defer cancel()
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(scrapeGrace, cancel) })
		defer stop()
		return source(scrape, names)
	}
}

// namedRun fails if a collector that was asked for by name does not run. One
// that waits will.
func namedRun(named []string, e *engine.Engine) error {
	if len(named) == 0 {
		return nil
	}
	var errs []error
	for _, s := range e.States() {
		if s.Status.Well() {
			continue
		}
		errs = append(errs, explain(s))
	}
	return errors.Join(errs...)
}

// selfRegistry gathers the metrics about this process.
func (f *serveFlags) selfRegistry() *prometheus.Registry {
	self := prometheus.NewRegistry()
	self.MustRegister(versioncollector.NewCollector("kernscope"))
	if !*f.noProcess {
		self.MustRegister(
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
			collectors.NewGoCollector(),
		)
	}
	return self
}

// describe joins what the specs and the engine say of the collectors. There is
// no engine yet while addresses are opened.
func describe(specs []collector.Spec, e *engine.Engine) []server.Collector {
	states := make([]engine.State, len(specs))
	if e != nil {
		states = e.States()
	}
	described := make([]server.Collector, len(specs))
	for i, s := range specs {
		described[i] = server.Collector{
			Name:   s.Name,
			Help:   s.Help,
			Port:   s.Port,
			State:  string(states[i].Status),
			Reason: states[i].Reason,
			Remedy: states[i].Remedy,
		}
	}
	return described
}
