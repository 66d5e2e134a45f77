// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// compressBlock is how many bytes are compressed at once. Most scrapes fit.
const compressBlock = 32 << 10

// compress returns a handler that compresses the answers for clients that accept gzip. promhttp
// could do that, too. But it would keep a writer of 800 KB, or make a new one for each scrape: most
// of the exporter's memory, and a third of a scrape's time. This compressor keeps nothing. It takes
// a seventh of the time and makes 10 to 15 % more bytes.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !acceptsGzip(r.Header.Values("Accept-Encoding")) {
			next.ServeHTTP(w, r)
			return
		}
		c := &compressor{ResponseWriter: w}
		next.ServeHTTP(c, r)
		c.close()
	})
}

// acceptsGzip reports whether a client with these Accept-Encoding fields accepts gzip (RFC 9110,
// 12.5.3).
func acceptsGzip(fields []string) bool {
	accepted := make(map[string]bool)
	for coding := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		name, weight, weighted := strings.Cut(coding, ";")
		yes := true
		if weighted {
			_, q, _ := strings.Cut(weight, "=")
			value, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			yes = err == nil && value > 0
		}
		accepted[strings.ToLower(strings.TrimSpace(name))] = yes
	}
	for _, name := range []string{"gzip", "x-gzip", "*"} { // a name takes precedence over the wildcard
		if yes, named := accepted[name]; named {
			return yes
		}
	}
	return false
}

// compressor compresses an answer whose status is 200, and passes on any other unchanged.
type compressor struct {
	http.ResponseWriter
	begun bool
	zip   *gzip.Writer // nil if the answer is not compressed
	body  *bufio.Writer
}

func (c *compressor) WriteHeader(code int) {
	if !c.begun && code == http.StatusOK {
		c.Header().Set("Content-Encoding", "gzip")
		c.Header().Del("Content-Length")
		// The only possible error is an unknown level.
		c.zip, _ = gzip.NewWriterLevel(c.ResponseWriter, gzip.StatelessCompression)
		c.body = bufio.NewWriterSize(c.zip, compressBlock)
	}
	c.begun = true
	c.ResponseWriter.WriteHeader(code)
}

func (c *compressor) Write(p []byte) (int, error) {
	if !c.begun {
		c.WriteHeader(http.StatusOK)
	}
	if c.zip == nil {
		return c.ResponseWriter.Write(p)
	}
	return c.body.Write(p)
}

// close sends the rest of the answer. It ignores errors, because then the client is gone.
func (c *compressor) close() {
	if c.zip != nil {
		_ = c.body.Flush()
		_ = c.zip.Close()
	}
}
