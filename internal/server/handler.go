// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	homePath          = "/"
	distributionsPath = "/distributions"
	probesPath        = "/-/"
	healthyPath       = probesPath + "healthy"
	readyPath         = probesPath + "ready"
)

// checkPath returns an error if metrics cannot be served at a path.
func checkPath(telemetry string) error {
	taken := slices.Contains([]string{homePath, distributionsPath, healthyPath, readyPath}, telemetry)
	if taken || !path.IsAbs(telemetry) || path.Clean(telemetry) != telemetry || strings.ContainsAny(telemetry, "{} ?#%") {
		return fmt.Errorf("metrics cannot be served at %q: give a path such as /metrics, and none of %s, %s, %s, %s",
			telemetry, homePath, distributionsPath, healthyPath, readyPath)
	}
	return nil
}

// handler returns the handler of an address. It serves the collector named only, or all collectors
// if only is "".
func (s *Server) handler(only string) http.Handler {
	scrape := &metricsHandler{server: s, only: only}
	metrics := s.share(scrape.form, s.limit(compress(scrape)))
	if s.cfg.SelfMetrics != nil {
		metrics = promhttp.InstrumentMetricHandler(s.cfg.SelfMetrics, metrics)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+s.cfg.TelemetryPath, metrics)
	mux.Handle("GET "+homePath+"{$}", &landingPage{server: s, only: only})
	drawing := func(r *http.Request) string {
		return fmt.Sprint(distributionsPath, only, acceptsGzip(r.Header.Values("Accept-Encoding")))
	}
	mux.Handle("GET "+distributionsPath, s.share(drawing, s.limit(compress(&distributionsPage{server: s, only: only}))))
	mux.Handle("GET "+probesPath, s.probes())
	return mux
}

// probes returns the handler of health probes.
func (s *Server) probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthyPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "kernscope is healthy.")
	})
	mux.HandleFunc("GET "+readyPath, s.answerReady)
	return mux
}

// probesFirst returns a handler that lets health probes pass next by.
func probesFirst(probes, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, probesPath) {
			probes.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answerReady says whether the server is ready, and else why not.
func (s *Server) answerReady(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		answer(w, http.StatusServiceUnavailable, "kernscope is not ready: it starts or ends.")
		return
	}
	if s.cfg.Unready != nil {
		if err := s.cfg.Unready(); err != nil {
			answer(w, http.StatusServiceUnavailable, fmt.Sprintf("kernscope is not ready: %v.", err))
			return
		}
	}
	answer(w, http.StatusOK, "kernscope is ready.")
}

// limit returns a handler that refuses a scrape while the highest number of scrapes is running.
// Requests with a query can have any number of forms, so a quarter of the slots is for others.
func (s *Server) limit(next http.Handler) http.Handler {
	if s.slots == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, slots := range s.takes(r) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			default:
				if s.refuses.begins() {
					s.cfg.Logger.Warn("Refusing scrapes: too many of different forms are running", "limit", cap(slots))
				}
				answer(w, http.StatusServiceUnavailable,
					fmt.Sprintf("%d scrapes are running, which is the limit. Try again later.", cap(slots)))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// takes returns where a request takes a slot.
func (s *Server) takes(r *http.Request) []chan struct{} {
	if r.URL.RawQuery == "" {
		return []chan struct{}{s.slots}
	}
	return []chan struct{}{s.queries, s.slots}
}

// collectors returns the collectors that an address serves.
func (s *Server) collectors(only string) []Collector {
	all := s.cfg.Collectors()
	if only == "" {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(c Collector) bool { return c.Name != only })
}

// answer writes a line of plain text.
func answer(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// If this fails, the client is gone and needs no answer.
	_, _ = io.WriteString(w, line+"\n")
}
