// SPDX-License-Identifier: Apache-2.0

package server

import (
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed landing.html
var landingText string

// landing is parsed once. A mistake in it makes every test fail.
var landing = template.Must(template.New("landing").Parse(landingText))

// landingPage serves the page that tells a person what this address serves.
type landingPage struct {
	server *Server
	only   string
}

func (p *landingPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	cfg := &p.server.cfg
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	page := struct {
		Version, Metrics, Distributions, Healthy, Ready, Running string
		Collectors                                               []Collector
	}{cfg.Version, cfg.TelemetryPath, distributionsPath, healthyPath, readyPath, Running, p.server.collectors(p.only)}
	if err := landing.Execute(w, page); err != nil {
		cfg.Logger.Debug("Sending the landing page failed", "err", err)
	}
}
