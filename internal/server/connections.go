// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// mostConnections is how many clients may be connected at once.
	mostConnections = 128
	// socketBytes is how much the kernel may hold of what a client sent and we did not read, and of
	// what we sent and it did not read. Without a limit, it may be megabytes for each.
	socketBytes = 64 << 10
	// newcomer is how long a client that has just come has to be answered before it may be cut off,
	// and newcomerPause how often others that come meanwhile look whether there is room.
	newcomer      = 100 * time.Millisecond
	newcomerPause = time.Millisecond
	// episodeGap is how long a state must be over before its return is news.
	episodeGap = time.Minute
)

// episode is a state that is worth a line of the log when it begins, and no more while it lasts.
type episode struct {
	mu   sync.Mutex
	last time.Time
}

// begins notes that the state is there, and reports whether it has not been before.
func (e *episode) begins() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	begins := now.Sub(e.last) > episodeGap
	e.last = now
	return begins
}

// connections are those of all addresses. If there are too many, they cut one off, so that a new
// client is served: of the host that has the most, the one that has read nothing for the longest
// time. Those that wait for a page go last, and of these the one that came last.
type connections struct {
	most   int
	logger *slog.Logger

	mu      sync.Mutex
	open    map[*connection]bool
	crowded episode
}

// connection is one of [connections].
type connection struct {
	net.Conn
	all  *connections
	host string
	// read is when the client last took something, guarded by all.mu. Before it has, it is the time
	// until which it is a newcomer.
	read time.Time
	// pages is how many the client waits for, since a time. After it has waited for the last one, it is
	// spared for as long as a newcomer, so that the page can be sent. All are guarded by all.mu.
	pages  int
	since  time.Time
	spared time.Time
}

// until returns until when the client is not cut off, if others may be. The caller holds the lock.
func (c *connection) until() time.Time {
	if c.spared.After(c.read) {
		return c.spared
	}
	return c.read
}

// connectionKey is the key of a request's connection in its context.
type connectionKey struct{}

// withConnection adds a connection to the context of its requests.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

// working notes that the client of a request waits for a page, until the function is called that it
// returns.
func working(r *http.Request) (done func()) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return func() {}
	}
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.pages++; c.pages == 1 {
		c.since = time.Now()
	}
	return func() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.pages--
		c.spared = time.Now().Add(newcomer)
	}
}

// on returns a listener whose connections are counted among these.
func (c *connections) on(l net.Listener) *door { return &door{Listener: l, all: c, begins: func() {}} }

// door is a listener of [connections].
type door struct {
	net.Listener
	all    *connections
	deaf   episode
	begins func() // called once, before the first client is accepted
	begun  bool
}

// Accept waits for a client. If the process cannot take it in, it cuts off another one, and says
// so: the address listens, and nobody is answered.
func (d *door) Accept() (net.Conn, error) {
	if !d.begun {
		d.begun = true
		d.begins()
	}
	conn, err := d.Listener.Accept()
	if err == nil {
		return d.all.add(conn), nil
	}
	if !errors.Is(err, net.ErrClosed) {
		if d.deaf.begins() {
			d.all.logger.Error("Connections cannot be accepted", "address", d.Addr().String(), "err", err)
		}
		d.all.makeRoom()
	}
	return nil, err
}

// add takes a connection in.
func (c *connections) add(conn net.Conn) net.Conn {
	if sized, ok := conn.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}); ok {
		// If this fails, the connection is closed already, as will show.
		_ = errors.Join(sized.SetReadBuffer(socketBytes/4), sized.SetWriteBuffer(socketBytes))
	}
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		host = "" // of a unix socket
	}
	own := &connection{Conn: conn, all: c, host: host, read: time.Now().Add(newcomer)}
	c.mu.Lock()
	c.open[own] = true
	excess := len(c.open) - c.most
	news := excess > 0 && c.crowded.begins()
	c.mu.Unlock()
	if news {
		c.logger.Warn("Too many connections: cutting off those that have read nothing for the longest time", "limit", c.most)
	}
	if excess > 0 {
		c.makeRoom()
	}
	return own
}

// makeRoom cuts a connection off. Clients that have just come are answered first: many that come at
// once wait in the kernel's queue.
func (c *connections) makeRoom() {
	for begin := time.Now(); time.Since(begin) < newcomer; time.Sleep(newcomerPause) {
		c.mu.Lock()
		one := c.victim()
		unanswered := one != nil && one.until().After(time.Now())
		c.mu.Unlock()
		if !unanswered {
			break
		}
	}
	c.mu.Lock()
	one := c.victim()
	delete(c.open, one)
	c.mu.Unlock()
	if one != nil {
		one.drop()
	}
}

// victim returns the connection to cut off; nil if there is none. The caller holds the lock.
func (c *connections) victim() *connection {
	of := make(map[string]int) // connections, by host
	for one := range c.open {
		of[one.host]++
	}
	var victim *connection
	for one := range c.open {
		if victim == nil || one.before(victim, of) {
			victim = one
		}
	}
	return victim
}

// before reports whether a connection is cut off before another, given how many each host has. The
// caller holds the lock.
func (c *connection) before(other *connection, of map[string]int) bool {
	switch {
	case (c.pages > 0) != (other.pages > 0):
		return c.pages == 0
	case of[c.host] != of[other.host]:
		return of[c.host] > of[other.host]
	case c.pages > 0:
		return c.since.After(other.since)
	}
	return c.until().Before(other.until())
}

// Write sends, and notes that the client reads.
func (c *connection) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.drop()
		return n, err
	}
	c.all.mu.Lock()
	c.read = time.Now()
	c.all.mu.Unlock()
	return n, nil
}

// drop closes the connection at once. The kernel forgets what the client did not read.
func (c *connection) drop() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // if this fails, it is closed already
	}
	_ = c.Close()
}

// Close ends the connection.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}
