// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
)

// notified is an alert as Alertmanager sends it to a receiver.
type notified struct {
	Status      string
	Labels      map[string]string
	Annotations map[string]string
}

// pager is a webhook that Alertmanager calls.
type pager struct {
	mu     sync.Mutex
	alerts []notified
}

func newPager(t *testing.T) (p *pager, url string) {
	t.Helper()
	p = new(pager)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct{ Alerts []notified }
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alerts = append(p.alerts, call.Alerts...)
}

// received returns the first notification of an alert about a device.
func (p *pager) received(alert, device string) (notified, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.alerts {
		if a.Labels["alertname"] == alert && a.Labels["device"] == device {
			return a, nil
		}
	}
	return notified{}, fmt.Errorf("the webhook has got no %s about %s, only %v", alert, device, p.alerts)
}

// alertmanager starts an Alertmanager that notifies a webhook of each alert at once and separately.
// It returns the address of Alertmanager.
func alertmanager(t *testing.T, webhook string) string {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	config := filepath.Join(dir, "alertmanager.yml")
	save(t, config, fmt.Sprintf(`
route: {receiver: webhook, group_by: ["..."], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: webhook
    webhook_configs: [{url: %q}]
`, webhook))
	background(t, environment(t, "ALERTMANAGER"), "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=")
	eventually(t, "Alertmanager is not ready", func() (string, error) { return get(t, "http://"+address+"/-/ready") })
	return address
}
