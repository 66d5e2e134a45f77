// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"strconv"
	"syscall"
)

// unixMode is the mode of a unix socket, unless its address says another: whoever is in the group of
// the process may scrape.
const unixMode = 0o660

// openUnix opens an address such as unix:///run/kernscope.sock?mode=0660. A socket that an earlier
// process left behind gives way.
func openUnix(address string) (net.Listener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	mode, err := socketMode(u.Query())
	if err != nil {
		return nil, err
	}
	if u.Host != "" || !path.IsAbs(u.Path) {
		return nil, errors.New("a unix socket is unix:// and an absolute path, such as unix:///run/kernscope.sock")
	}
	if err := clearSocket(u.Path); err != nil {
		return nil, err
	}
	// The mode is set before the socket has a name, so that nobody connects in between.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(mode)) })
		return errors.Join(failed, err)
	}}
	l, err := config.Listen(context.Background(), "unix", u.Path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(u.Path, mode); err != nil { // what the umask took away
		l.Close()
		return nil, err
	}
	return l, nil
}

// socketMode returns the mode that an address asks for.
func socketMode(query url.Values) (fs.FileMode, error) {
	for name := range query {
		if name != "mode" {
			return 0, fmt.Errorf("a unix socket has no %q, only a mode", name)
		}
	}
	if !query.Has("mode") {
		return unixMode, nil
	}
	mode, err := strconv.ParseUint(query.Get("mode"), 8, 32)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf("mode %q of a unix socket: give three octal digits, such as 660", query.Get("mode"))
	}
	return fs.FileMode(mode), nil
}

// clearSocket removes a socket on which nobody listens. Anything else that is there is an error.
func clearSocket(name string) error {
	about, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case about.Mode().Type() != fs.ModeSocket:
		return errors.New("a file that is no socket is there")
	}
	conn, err := net.Dial("unix", name)
	if err == nil {
		conn.Close()
		return errors.New("another process listens on it")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(name)
}
