// SPDX-License-Identifier: Apache-2.0

// Package server serves HTTP on any number of addresses: the metrics, the landing page and the
// answers to health probes. exporter-toolkit's web configuration file adds TLS and authentication.
// The server gets metric families from a function, and knows nothing about where they come from.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/kernscope/kernscope/internal/metric"
)

// Families returns the families of the named collectors. Any number of goroutines may call it at the
// same time, with at least one name, and only with names of [Config.Collectors]. The context ends
// when serving ends: scrapers that go away leave their reading to those that share it.
type Families func(ctx context.Context, collectors []string) ([]metric.Family, error)

// Collector is what the server knows about a collector.
type Collector struct {
	Name string
	Help string
	// Port is the collector's port when it is served alone; 0 means none.
	Port uint16
	// State is one word. It is [Running] if the collector works.
	State string
	// Reason says why the collector is not running, and Remedy what would help.
	Reason, Remedy string
}

// Running is the [Collector.State] of a collector that works.
const Running = "running"

// Config is what a server needs.
type Config struct {
	Families Families
	// Collectors returns the collectors, in the order of the landing page. The server calls it at
	// every request, so states may change. Names and ports must not change.
	Collectors func() []Collector
	// Unready returns why the process cannot do its work, or nil. The server calls it at every
	// request of /-/ready. It may be nil.
	Unready func() error
	// SelfMetrics holds the metrics about the exporter's process. The main addresses serve them beside the
	// metrics of the collectors. The server adds counts of the scrapes on all addresses. It is nil
	// if there are none.
	SelfMetrics *prometheus.Registry
	// Version is shown on the landing page.
	Version string
	// TelemetryPath is the path of the metrics, such as "/metrics".
	TelemetryPath string
	// MaxRequests is how many scrapes may run at once, on all addresses together. Further scrapes
	// get status 503. 0 means no limit.
	MaxRequests int
	// Web holds the main addresses and the name of the web configuration file.
	Web *web.FlagConfig
	// CompatPorts says that each collector is also served alone on its port, on the hosts of the
	// main addresses.
	CompatPorts bool
	// OpenProbes says that the answers to health probes need no password, although the web
	// configuration file asks for one.
	OpenProbes bool
	Logger     *slog.Logger
}

const (
	// readTimeout, writeTimeout and idleTimeout bound what a client can occupy that does not
	// write, read or leave. Scrape intervals are shorter than idleTimeout, so Prometheus keeps its
	// connection.
	readTimeout  = 10 * time.Second
	writeTimeout = time.Minute
	idleTimeout  = 5 * time.Minute
	maxHeader    = 16 << 10
	// mostStreams is how many requests a client may have under way on a connection of HTTP/2, and
	// streamBytes how much it may send of them before they are read. Scrapers send nothing, and one
	// request at a time.
	mostStreams = 8
	streamBytes = 16 << 10
	// defaultGrace is how long running requests may take to finish when serving ends.
	defaultGrace = 5 * time.Second
)

// Server is a set of open addresses and what they serve.
type Server struct {
	cfg         Config
	listeners   []listener
	slots       chan struct{} // nil if scrapes are not limited
	queries     chan struct{} // those of the slots that requests with a query may take
	pens        chan struct{} // of pages that are being written
	refuses     episode
	press       *press
	desk        desk
	connections connections
	files       webFiles
	ready       atomic.Bool
	sendTimeout time.Duration
	readTimeout time.Duration
	grace       time.Duration
}

// Check returns an error if the server cannot use a telemetry path, a limit of concurrent scrapes
// or a web configuration file; "" is no file. [Listen] checks them, too.
func Check(telemetryPath string, maxRequests int, webConfig string) error {
	if err := checkPath(telemetryPath); err != nil {
		return err
	}
	if maxRequests < 0 {
		return fmt.Errorf("the limit of concurrent scrapes is %d: it must be at least 0, which means no limit", maxRequests)
	}
	if webConfig == "" {
		return nil
	}
	err := checkFile(webConfig)
	if err == nil {
		err = checkNamed(webConfig)
	}
	if err == nil {
		err = validate(webConfig)
	}
	if err != nil {
		return fmt.Errorf("reading the web configuration file %s: %w", webConfig, err)
	}
	return nil
}

// validateTimeout is how long reading a web configuration file, and the files that it names, may
// take: what it names may be a pipe.
const validateTimeout = 2 * time.Second

// validate returns an error if a web configuration file is no good.
func validate(path string) error {
	done := make(chan error, 1)
	go func() { done <- web.Validate(path) }()
	select {
	case err := <-done:
		return err
	case <-time.After(validateTimeout):
		return fmt.Errorf("it has not ended after %v: see whether a file that it names is a pipe or a device", validateTimeout)
	}
}

// mostConfig is how large a web configuration file may be.
const mostConfig = 1 << 20

// checkFile returns an error if reading a file might not end.
func checkFile(path string) error {
	about, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !about.Mode().IsRegular():
		return errors.New("it is no regular file")
	case about.Size() > mostConfig:
		return fmt.Errorf("it has %d bytes, of which a configuration has no use for more than %d", about.Size(), mostConfig)
	}
	return nil
}

// checkNamed returns an error if reading a file that a web configuration file names might not end.
// Whatever else is wrong with the configuration, validate says.
func checkNamed(webConfig string) error {
	files, err := named(webConfig)
	if err != nil {
		return nil
	}
	for _, file := range files {
		if err := checkFile(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// Listen checks the configuration and opens every address. If one cannot be opened, it leaves none
// open. Connections wait until [Server.Serve] is called.
func Listen(cfg Config) (*Server, error) {
	if err := Check(cfg.TelemetryPath, cfg.MaxRequests, *cfg.Web.WebConfigFile); err != nil {
		return nil, err
	}
	s := &Server{
		cfg:         cfg,
		press:       newPress(),
		pens:        make(chan struct{}, mostPens),
		desk:        desk{most: sendingBytes, copies: make(map[*page]int)},
		connections: connections{most: mostConnections, logger: cfg.Logger, open: make(map[*connection]bool)},
		files:       webFiles{path: *cfg.Web.WebConfigFile, logger: cfg.Logger},
		sendTimeout: sendTimeout, readTimeout: readTimeout, grace: defaultGrace,
	}
	if cfg.MaxRequests > 0 {
		s.slots = make(chan struct{}, cfg.MaxRequests)
		s.queries = make(chan struct{}, cfg.MaxRequests-cfg.MaxRequests/4)
	}
	var err error
	s.listeners, err = openAll(&s.cfg)
	return s, err
}

// Addresses returns the addresses on which the server listens, the main ones first.
func (s *Server) Addresses() []net.Addr {
	var addresses []net.Addr
	for _, l := range s.listeners {
		addresses = append(addresses, l.Addr())
	}
	return addresses
}

// Ready makes /-/ready answer that the server is ready, until serving ends or for as long as
// [Config.Unready] knows no reason against it.
func (s *Server) Ready() { s.ready.Store(true) }

// LimitConnections sets how many clients may be connected at once, if that is less than the limit
// that holds otherwise.
func (s *Server) LimitConnections(most int) {
	s.connections.most = max(1, min(s.connections.most, most))
}

// Close closes the addresses of a server that will not serve.
func (s *Server) Close() {
	s.press.end()
	closeAll(s.listeners)
}

// Serve answers requests until ctx is done or an address fails. Then it accepts no more
// connections, gives running requests a few seconds to finish, and cuts off the rest. The error is
// nil if ctx was the reason. Serve can be called only once.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	var serving sync.WaitGroup
	var servers []*http.Server
	failed := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		// Each address has its own http.Server. exporter-toolkit changes the server that it gets,
		// so several addresses would change a common one at the same time.
		server := s.newHTTP(l)
		servers = append(servers, server)
		door := s.connections.on(l)
		if s.cfg.OpenProbes {
			// exporter-toolkit has put authentication before the handler by then.
			door.begins = func() { server.Handler = probesFirst(s.probes(), server.Handler) }
		}
		serving.Go(func() {
			err := web.Serve(door, server, s.cfg.Web, s.cfg.Logger)
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

// newHTTP returns the HTTP server of one address.
func (s *Server) newHTTP(l listener) *http.Server {
	return &http.Server{
		Handler:        s.handler(l.only),
		ReadTimeout:    s.readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		ConnContext:    withConnection,
		MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          mostStreams,
			MaxReadFrameSize:              streamBytes,
			MaxReceiveBufferPerConnection: socketBytes,
			MaxReceiveBufferPerStream:     streamBytes,
			WriteByteTimeout:              s.sendTimeout,
		},
		ConnState: s.files.changed,
		ErrorLog:  log.New(&clientLog{s.cfg.Logger, &s.files}, "", 0),
	}
}

// clientLog logs what net/http says. Errors such as failed handshakes are the client's, so they are
// logged at debug level. Panics are ours, and so are files that a handshake cannot read.
type clientLog struct {
	logger *slog.Logger
	files  *webFiles
}

func (l *clientLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.Contains(text, "panic serving") {
		l.logger.Error("A request failed", "err", text)
	} else {
		l.logger.Debug(text)
	}
	if strings.Contains(text, "TLS handshake error") {
		l.files.refused()
	}
	return len(line), nil
}

// shutdown ends all servers. Running requests have the time s.grace to finish.
func (s *Server) shutdown(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	var ending sync.WaitGroup
	for _, server := range servers {
		ending.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				s.cfg.Logger.Warn("Cutting off requests that do not end", "err", err)
				_ = server.Close() // the only possible error is a listener that is closed already
			}
		})
	}
	ending.Wait()
	s.press.end()
}
