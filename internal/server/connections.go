// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// mostConnections is how many clients may be connected at once.
	mostConnections = 128
	// socketBytes is how much the kernel may hold of what a client sent and we did not read, and of
	// what we sent and it did not read. Without a limit, it may be megabytes for each.
	socketBytes = 64 << 10
	// episodeGap is how long a state must be over before its return is news.
	episodeGap = time.Minute
)

// episode is a state that is worth a line of the log when it begins, and no more while it lasts.
type episode struct{ last time.Time }

// begins notes that the state is there, and reports whether it has not been before.
func (e *episode) begins() bool {
	now := time.Now()
	begins := now.Sub(e.last) > episodeGap
	e.last = now
	return begins
}

// connections are those of all addresses. If there are too many, they cut one off, so that a new
// client is served: of the host that has the most, the one that has read nothing for the longest
// time.
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
	read time.Time // when the client last took something, guarded by all.mu
}

// on returns a listener whose connections are counted among these.
func (c *connections) on(l net.Listener) net.Listener { return &door{Listener: l, all: c} }

// door is a listener of [connections].
type door struct {
	net.Listener
	all  *connections
	deaf episode
}

// Accept waits for a client. If the process cannot take it in, it cuts off another one, and says
// so: the address listens, and nobody is answered.
func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err == nil {
		return d.all.add(conn), nil
	}
	if !errors.Is(err, net.ErrClosed) {
		if d.deaf.begins() {
			d.all.logger.Error("Connections cannot be accepted", "address", d.Addr().String(), "err", err)
		}
		d.all.makeRoom(1)
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
	own := &connection{Conn: conn, all: c, host: host, read: time.Now()}
	c.mu.Lock()
	c.open[own] = true
	excess := len(c.open) - c.most
	news := excess > 0 && c.crowded.begins()
	c.mu.Unlock()
	if news {
		c.logger.Warn("Too many connections: cutting off those that have read nothing for the longest time", "limit", c.most)
	}
	c.makeRoom(excess)
	return own
}

// makeRoom cuts connections off.
func (c *connections) makeRoom(n int) {
	for range n {
		if victim := c.victim(); victim != nil {
			victim.drop()
		}
	}
}

// victim takes out the connection to cut off; nil if there is none.
func (c *connections) victim() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := make(map[string]int) // connections, by host
	for one := range c.open {
		of[one.host]++
	}
	var victim *connection
	for one := range c.open {
		switch {
		case victim == nil,
			of[one.host] > of[victim.host],
			of[one.host] == of[victim.host] && one.read.Before(victim.read):
			victim = one
		}
	}
	delete(c.open, victim)
	return victim
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
