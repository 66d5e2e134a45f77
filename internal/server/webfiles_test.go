// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesThatBreak takes the key away while the server serves, and brings it back: the log says
// each once, and nothing about clients that break off.
func TestFilesThatBreak(t *testing.T) {
	config, trust := secure(t, "prometheus", "very secret")
	i := start(t, func(cfg *Config) { cfg.Web = webFlags(withoutUsers(t, config), "127.0.0.1:0") })
	address := i.Addresses()[0].String()
	get := func(trust *tls.Config) error {
		c := http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
		resp, err := c.Get("https://" + address + "/-/healthy")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	const breaks, works = "The web configuration does not work", "The web configuration works again"
	key := filepath.Join(filepath.Dir(config), "key.pem")
	if err := get(new(tls.Config)); err == nil || get(trust) != nil || strings.Contains(i.logs.String(), "web configuration") {
		t.Fatalf("a client that trusts nobody: %v; log %s", err, i.logs)
	}
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if get(trust) == nil {
			t.Error("served without a key")
		}
	}
	eventually(t, "the log says what broke", func() bool { return strings.Contains(i.logs.String(), breaks) })
	contains(t, i.logs.String(), "key.pem: no such file")
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := get(trust); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the log says that it works", func() bool { return strings.Contains(i.logs.String(), works) })
	for _, line := range []string{breaks, works} {
		if n := strings.Count(i.logs.String(), line); n != 1 {
			t.Errorf("%d lines say %q:\n%s", n, line, i.logs)
		}
	}
}
