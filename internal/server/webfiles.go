// SPDX-License-Identifier: Apache-2.0

package server

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// webFiles are the web configuration file and the files that it names. The server reads them at
// every handshake, so they can break while it serves: clients then see that the handshake fails, and
// the log says why.
type webFiles struct {
	path   string // "" is no file
	logger *slog.Logger

	mu     sync.Mutex
	broken bool
}

// look reads the files. It logs when they break, and when they are good again.
func (f *webFiles) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := validate(f.path)
	switch {
	case err != nil && !f.broken:
		f.logger.Error("The web configuration does not work: no client can connect", "file", f.path, "err", err)
	case err == nil && f.broken:
		f.logger.Info("The web configuration works again", "file", f.path)
	}
	f.broken = err != nil
}

// refused notes that a handshake failed, which may be the client's fault.
func (f *webFiles) refused() {
	if f.path != "" {
		f.look()
	}
}

// changed notes the state of a connection. One on which there is a request may be older than what
// broke.
func (f *webFiles) changed(_ net.Conn, state http.ConnState) {
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	if broken && state == http.StateActive {
		f.look()
	}
}
