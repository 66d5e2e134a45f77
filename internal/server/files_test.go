// SPDX-License-Identifier: Apache-2.0

package server

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	in := func(name ...string) string { return filepath.Join(append([]string{dir}, name...)...) }
	for _, name := range []string{"etc", "keys", "store"} {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, in("store"), "cert.pem", "")
	if err := os.Symlink(in("store", "cert.pem"), in("etc", "cert.pem")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"":                           {in("etc")},
		"basic_auth_users: {a: b}\n": {in("etc")},
		"tls_server_config: {cert_file: cert.pem, key_file: ../keys/missing.pem, client_ca_file: /nothing/ca.pem}\n": {
			"/nothing", in("etc"), in("keys"), in("store"),
		},
	} {
		got, err := Folders(write(t, in("etc"), "web.yml", text))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	if got, err := Folders(""); got != nil || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	for _, name := range []string{in("etc", "missing"), write(t, in("etc"), "bad.yml", "tls_server_config: [")} {
		if _, err := Folders(name); err == nil {
			t.Errorf("no error for %s", name)
		}
	}
}
