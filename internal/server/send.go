// SPDX-License-Identifier: Apache-2.0

package server

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// sendTimeout is how long a client may take to read a page. Prometheus gives a scrape 10 s
	// unless it is told otherwise.
	sendTimeout = 15 * time.Second
	// sendingBytes is how many bytes of pages may wait for clients that read slowly.
	sendingBytes = 8 << 20
)

// share returns a handler that answers with the pages of next. Requests of the same form share a
// page; a request of the form "" has its own. A page that is being sent occupies no slot, and at
// most memory that others may claim.
func (s *Server) share(form func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := s.render(form(r), r, next)
		switch {
		case p != nil:
			s.send(w, r, p)
		case r.Context().Err() == nil:
			answer(w, http.StatusInternalServerError, "The scrape failed: see the log.")
		}
	})
}

// render returns the page of a form as [press.get] does, and meanwhile protects the client's
// connection.
func (s *Server) render(form string, r *http.Request, next http.Handler) *page {
	defer working(r)()
	if form != "" {
		return s.press.get(form, r, next)
	}
	p := &page{header: make(http.Header)}
	next.ServeHTTP(p, r)
	return p
}

// mostPens is how many pages may be written at once. While a page is written, it takes several times
// its size.
const mostPens = 4

// pen waits until few enough other pages are being written, and returns a function that ends the
// writing. Readings do not wait: one that hangs keeps no other page from being written.
func (s *Server) pen(r *http.Request) (done func(), err error) {
	select {
	case s.pens <- struct{}{}:
		return func() { <-s.pens }, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// send sends a page. A client that hangs up, or does not read, is nobody's error.
func (s *Server) send(w http.ResponseWriter, r *http.Request, p *page) {
	control := http.NewResponseController(w)
	// If that is not possible, the server's own deadline ends it.
	_ = control.SetWriteDeadline(time.Now().Add(s.sendTimeout))
	done := s.desk.add(p, func() { _ = control.SetWriteDeadline(time.Now()) })
	defer done()
	maps.Copy(w.Header(), p.header)
	if p.code != 0 {
		w.WriteHeader(p.code)
	}
	if _, err := w.Write(p.body.Bytes()); err != nil {
		s.cfg.Logger.Debug("The scraper hung up", "client", r.RemoteAddr, "err", err)
	}
}

// desk knows the pages that are being sent. If they take too much memory, it cuts off the clients
// that have been reading for the longest time.
type desk struct {
	most int // bytes

	mu     sync.Mutex
	bytes  int
	copies map[*page]int // clients that each page is being sent to
	queue  []*sending    // oldest first
}

type sending struct {
	page *page
	cut  func()
}

// add notes that a page is being sent, until the function is called that it returns.
func (d *desk) add(p *page, cut func()) func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	own := &sending{p, cut}
	d.queue = append(d.queue, own)
	if d.copies[p]++; d.copies[p] == 1 {
		d.bytes += p.body.Len()
	}
	for d.bytes > d.most {
		oldest := slices.IndexFunc(d.queue, func(s *sending) bool { return s.page != p })
		if oldest < 0 {
			break
		}
		d.queue[oldest].cut()
		d.remove(d.queue[oldest])
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.remove(own)
	}
}

// remove notes that a page is not being sent any more.
func (d *desk) remove(s *sending) {
	i := slices.Index(d.queue, s)
	if i < 0 {
		return // it was cut off
	}
	d.queue = slices.Delete(d.queue, i, i+1)
	if d.copies[s.page]--; d.copies[s.page] == 0 {
		delete(d.copies, s.page)
		d.bytes -= s.page.body.Len()
	}
}
