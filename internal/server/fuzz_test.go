// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/exporter-toolkit/web"
)

// FuzzAcceptEncoding checks that any header has an answer, and that a client which refuses gzip
// gets none.
func FuzzAcceptEncoding(f *testing.F) {
	for _, field := range []string{"gzip", "gzip;q=0", "*;q=0.5, identity", "x-gzip;q=nan", ";;=,", "gzip;q=1e999"} {
		f.Add(field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		acceptsGzip([]string{field})
		if acceptsGzip([]string{field, "gzip;q=0"}) {
			t.Errorf("%q: gzip, although it is refused", field)
		}
	})
}

// FuzzQuery checks that a scrape gets collectors that there are, each once, or an error.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"", "collect[]=diskio", "exclude[]=diskio&exclude[]=memory", "collect[]=x%ff", "collect[]=memory&exclude[]=memory", "%zz"} {
		f.Add(query)
	}
	served := []string{"diskio", "memory"}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		names, err := choose(served, values)
		if err != nil {
			return
		}
		for i, name := range names {
			if !slices.Contains(served, name) || slices.Contains(names[:i], name) {
				t.Errorf("%q: %q", query, names)
			}
		}
	})
}

// FuzzWebConfig checks that a file of the web configuration is accepted or refused.
func FuzzWebConfig(f *testing.F) {
	for _, text := range []string{
		"", "basic_auth_users:\n  alice: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n",
		"tls_server_config:\n  client_auth_type: RequireAnyClientCert\n  min_version: TLS13\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  curve_preferences: [X25519]\n",
		"http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n", "a: &a [*a]\n", "? {}\n: !!binary =\n",
	} {
		f.Add(text)
	}
	file := filepath.Join(f.TempDir(), "web.yml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = web.Validate(file)
	})
}
