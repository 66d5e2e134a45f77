// SPDX-License-Identifier: Apache-2.0

// Package server speaks HTTP: metrics, the landing page and the state of
// health, on any number of addresses, with TLS and authentication as
// exporter-toolkit's web configuration file says. It is handed a function that
// yields metric families and knows nothing of where they come from.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/kernscope/kernscope/internal/metric"
)

// Source yields the families of the named collectors. It is called with at
// least one name, only with names of [Config.Collectors], by any number of
// goroutines. The context ends when the scraper goes away.
type Source func(ctx context.Context, collectors []string) ([]metric.Family, error)

// Collector is what the server knows of a collector.
type Collector struct {
	Name string
	Help string
	// Port the collector has when it is served alone; 0 for none.
	Port uint16
	// State is one word, "running" if all is well.
	State string
	// Reason and Remedy say in words why it is not running and what to do.
	Reason, Remedy string
}

// Running is the [Collector.State] of a collector that works.
const Running = "running"

// Config is what a server needs.
type Config struct {
	Source Source
	// Collectors tells what can be scraped, in the order of the landing
	// page. It is asked at every request, so states may change; names and
	// ports may not.
	Collectors func() []Collector
	// Own holds the exporter's metrics about itself, served beside those of
	// the collectors on the main addresses. The server adds counts of
	// the scrapes on all addresses. Nil for none.
	Own *prometheus.Registry
	// Version, as the landing page shows it.
	Version string
	// TelemetryPath is where the metrics are: "/metrics".
	TelemetryPath string
	// MaxRequests is how many scrapes may run at once, on all addresses
	// together; more get 503. 0 is no limit.
	MaxRequests int
	// Web holds the addresses and the web configuration file.
	Web *web.FlagConfig
	// CompatPorts serves every collector on its own port as well, on the
	// hosts of the main addresses.
	CompatPorts bool
	Logger      *slog.Logger
}

const (
	// headerTimeout, writeTimeout and idleTimeout bound what a client that
	// does not read, write or leave can hold. A scrape interval is below
	// the last, so that Prometheus keeps its connection.
	headerTimeout = 10 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = 5 * time.Minute
	maxHeader     = 64 << 10
	// defaultGrace is how long requests may still run when serving ends.
	defaultGrace = 5 * time.Second
)

// Server is a set of open addresses and what is served there.
type Server struct {
	cfg       Config
	listeners []listener
	slots     chan struct{} // nil if scrapes are not limited
	ready     atomic.Bool
	grace     time.Duration
}

// Check says whether a telemetry path, a limit of concurrent scrapes and a web
// configuration file, "" for none, can be used. [Listen] checks them, too.
func Check(telemetryPath string, maxRequests int, webConfig string) error {
	if err := checkPath(telemetryPath); err != nil {
		return err
	}
	if maxRequests < 0 {
		return fmt.Errorf("the limit of concurrent scrapes is %d: it must be 0 for none, or more", maxRequests)
	}
	if webConfig == "" {
		return nil
	}
	if err := web.Validate(webConfig); err != nil {
		return fmt.Errorf("reading the web configuration file %s: %w", webConfig, err)
	}
	return nil
}

// Listen checks the configuration and opens every address; if one cannot be
// opened none is left open. Connections wait until [Server.Serve].
func Listen(cfg Config) (*Server, error) {
	if err := Check(cfg.TelemetryPath, cfg.MaxRequests, *cfg.Web.WebConfigFile); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, grace: defaultGrace}
	if cfg.MaxRequests > 0 {
		s.slots = make(chan struct{}, cfg.MaxRequests)
	}
	var err error
	s.listeners, err = openAll(&s.cfg)
	return s, err
}

// Addresses are those the server listens on, the main ones first.
func (s *Server) Addresses() []net.Addr {
	var addresses []net.Addr
	for _, l := range s.listeners {
		addresses = append(addresses, l.Addr())
	}
	return addresses
}

// Ready makes /-/ready say so, until serving ends.
func (s *Server) Ready() { s.ready.Store(true) }

// Close closes the addresses of a server that will not serve.
func (s *Server) Close() { closeAll(s.listeners) }

// Serve answers requests until ctx is done or an address fails. Then it stops
// accepting, lets running requests finish for a few seconds, and cuts off what
// is left. The error is nil if ctx was the reason. Serve can be called once.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	var serving sync.WaitGroup
	var servers []*http.Server
	failed := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		// One http.Server each: exporter-toolkit changes the server it is
		// given, and would do so for several addresses at once.
		server := s.newHTTP(l)
		servers = append(servers, server)
		serving.Go(func() {
			err := web.Serve(l.Listener, server, s.cfg.Web, s.cfg.Logger)
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving %s: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.ready.Store(false)
	s.shutdown(servers)
	serving.Wait()
	return err
}

// newHTTP makes the HTTP server of one address.
func (s *Server) newHTTP(l listener) *http.Server {
	return &http.Server{
		Handler:           s.handler(l.only),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// Failed handshakes and the like are the client's business.
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// shutdown ends all servers within the time of grace.
func (s *Server) shutdown(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	var ending sync.WaitGroup
	for _, server := range servers {
		ending.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				s.cfg.Logger.Warn("Cutting off requests that do not end", "err", err)
				_ = server.Close() // the error could only be of a closed listener
			}
		})
	}
	ending.Wait()
}
