// SPDX-License-Identifier: Apache-2.0

package server

import (
	"compress/gzip"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

func TestAcceptsGzip(t *testing.T) {
	for _, tt := range []struct {
		fields []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"gzip"}, true},
		{[]string{"GZip"}, true},
		{[]string{"x-gzip"}, true},
		{[]string{"deflate, gzip;q=1.0, *;q=0.5"}, true},
		{[]string{"deflate", "gzip"}, true},
		{[]string{"*"}, true},
		{[]string{"gzip;q=0, *"}, false},
		{[]string{"gzip ; q=0.001"}, true},
		{[]string{"gzip;q=0.000"}, false},
		{[]string{"*;q=0"}, false},
		{[]string{"*;q=0, gzip"}, true},
		{[]string{"identity, zstd, br"}, false},
		{[]string{"gzip;q=high"}, false},
	} {
		if got := acceptsGzip(tt.fields); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.fields, got, tt.want)
		}
	}
}

// compressed asks a handler behind compress, and accepts gzip.
func compressed(handler http.HandlerFunc) *http.Response {
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Accept-Encoding", "gzip")
	recorder := httptest.NewRecorder()
	compress(handler).ServeHTTP(recorder, request)
	return recorder.Result()
}

// TestCompressed sends bodies shorter and longer than a block, in small and large writes. They must
// arrive unchanged.
func TestCompress(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{1, 100, compressBlock - 1, compressBlock, compressBlock + 1, 10*compressBlock + 7} {
		for _, most := range []int{20, 3 * compressBlock} {
			var text strings.Builder
			for text.Len() < size {
				text.WriteString("ebpf_syscalls_total " + strconv.Itoa(random.IntN(1e9)) + "\n")
			}
			body := text.String()[:size]
			response := compressed(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				for rest := body; rest != ""; {
					n := min(len(rest), 1+random.IntN(most))
					if written, err := io.WriteString(w, rest[:n]); written != n || err != nil {
						t.Errorf("wrote %d of %d: %v", written, n, err)
					}
					rest = rest[n:]
				}
			})
			unzip, err := gzip.NewReader(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(unzip)
			if string(got) != body || err != nil {
				t.Errorf("%d bytes came out as %d: %v", size, len(got), err)
			}
			if response.Header.Get("Content-Encoding") != "gzip" || response.Header.Get("Content-Length") != "" {
				t.Errorf("header is %v", response.Header)
			}
		}
	}
}

// An empty answer, or an error, is not compressed.
func TestNotCompressed(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh", http.StatusTeapot) },
		"empty": func(http.ResponseWriter, *http.Request) {},
	} {
		response := compressed(handler)
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"error": "oh\n", "empty": ""}[name]; string(body) != want || response.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %q, %v", name, body, response.Header)
		}
		if response.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: caches are not told that the encoding varies: %v", name, response.Header)
		}
	}
}
