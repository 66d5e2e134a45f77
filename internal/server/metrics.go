// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/kernscope/kernscope/internal/metric"
)

// metricsHandler answers scrapes, in the format that the scraper asks for.
type metricsHandler struct {
	server *Server
	only   string
}

// form returns what decides how an answer looks; "" if the request makes no sense.
func (h *metricsHandler) form(r *http.Request) string {
	names, err := h.names(r)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %q %q %s %v", h.only, names, r.URL.Query()["name[]"],
		expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...),
		acceptsGzip(r.Header.Values("Accept-Encoding")))
}

// names returns the collectors that a scrape asks for.
func (h *metricsHandler) names(r *http.Request) ([]string, error) {
	var served []string
	for _, c := range h.server.collectors(h.only) {
		served = append(served, c.Name)
	}
	return choose(served, r.URL.Query())
}

func (h *metricsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cfg := &h.server.cfg
	names, err := h.names(r)
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	var found metric.Families
	if len(names) > 0 {
		found, err = cfg.Families(r.Context(), names)
		if err != nil {
			if r.Context().Err() == nil {
				cfg.Logger.Error("Scrape failed", "err", err)
			}
			answer(w, http.StatusInternalServerError, "The scrape failed: "+err.Error())
			return
		}
	}
	done, err := h.server.pen(r)
	if err != nil {
		answer(w, http.StatusInternalServerError, "The scrape failed: "+err.Error())
		return
	}
	defer done()
	gather := found.Gather
	options := promhttp.HandlerOpts{
		// If one family is wrong, only that family is missing.
		ErrorHandling:     promhttp.ContinueOnError,
		ErrorLog:          scrapeLog{cfg.Logger},
		EnableOpenMetrics: true,
		// The handlers around this one compress and limit.
		DisableCompression: true,
	}
	if cfg.SelfMetrics != nil {
		options.Registry = cfg.SelfMetrics
	}
	if cfg.SelfMetrics != nil && h.only == "" {
		gather = func() ([]*dto.MetricFamily, error) { return found.GatherWith(cfg.SelfMetrics) }
	}
	promhttp.HandlerFor(prometheus.GathererFunc(gather), options).ServeHTTP(w, r)
}

// choose returns the collectors that a scrape asks for. The parameter collect[] names those that
// the scraper wants, exclude[] those that it does not want.
func choose(served []string, query url.Values) ([]string, error) {
	wanted, unwanted := query["collect[]"], query["exclude[]"]
	if len(wanted) > 0 && len(unwanted) > 0 {
		return nil, errors.New("collect[] and exclude[] cannot be combined")
	}
	var unknown []string
	for _, name := range slices.Concat(wanted, unwanted) {
		if !slices.Contains(served, name) {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if unknown != nil {
		return nil, fmt.Errorf("unknown collector %s: there are %s", strings.Join(unknown, ", "), strings.Join(served, ", "))
	}
	return slices.DeleteFunc(slices.Clone(served), func(name string) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, name) || slices.Contains(unwanted, name)
	}), nil
}

// scrapeLog logs what goes wrong in one scrape, each error on a line.
type scrapeLog struct{ logger *slog.Logger }

// Println logs the errors among its arguments. promhttp calls it with a text and an error.
func (l scrapeLog) Println(v ...any) {
	for _, part := range v {
		err, ok := part.(error)
		if !ok {
			continue
		}
		var several prometheus.MultiError
		if !errors.As(err, &several) {
			several = prometheus.MultiError{err}
		}
		for _, err := range several {
			l.logger.Error("Leaving out what could not be served", "err", err)
		}
	}
}
