// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"net/http"
	"sync"
)

// page is a whole answer, ready to be sent. It is an [http.ResponseWriter] for the handler that
// renders it.
type page struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (p *page) Header() http.Header { return p.header }

func (p *page) WriteHeader(code int) {
	if p.code == 0 {
		p.code = code
	}
}

func (p *page) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

// press renders pages. Requests of the same form share the page that is being rendered when they
// come: however many scrapers there are, and however soon they go away, the work and the memory are
// those of one.
type press struct {
	// life ends when nothing is to be rendered any more. That a client goes away ends nothing:
	// others may have come to wait for the same page.
	life context.Context
	end  context.CancelFunc

	mu        sync.Mutex
	rendering map[string]*rendering // by form
}

// rendering is a page that is being rendered.
type rendering struct {
	done     chan struct{} // closed when the page is there
	page     *page         // nil if rendering it panicked
	requests int           // that share it, guarded by the press
}

func newPress() *press {
	p := &press{rendering: make(map[string]*rendering)}
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// get returns the page of a form, which next renders. It is nil if the client went away, or if
// rendering the page for another client panicked.
func (p *press) get(form string, r *http.Request, next http.Handler) *page {
	p.mu.Lock()
	now := p.rendering[form]
	if now != nil {
		now.requests++
		p.mu.Unlock()
		select {
		case <-now.done:
			return now.page
		case <-r.Context().Done():
			return nil
		}
	}
	now = &rendering{done: make(chan struct{}), requests: 1}
	p.rendering[form] = now
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.rendering, form)
		p.mu.Unlock()
		close(now.done)
	}()
	rendered := &page{header: make(http.Header)}
	next.ServeHTTP(rendered, r.WithContext(p.life))
	now.page = rendered
	return rendered
}
