// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sys/unix"
)

// listener is an open address and what it serves.
type listener struct {
	net.Listener
	// only is the collector that the address serves; "" means all.
	only string
}

// openAll opens all addresses of a configuration. If one cannot be opened, it leaves none open.
func openAll(cfg *Config) (all []listener, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
			all = nil
		}
	}()
	all, err = openMain(cfg.Web)
	if err != nil || !cfg.CompatPorts {
		return all, err
	}
	hosts := hostsOf(all)
	if len(hosts) == 0 {
		return all, errors.New("--compat-ports opens the collectors' ports on the hosts of the TCP addresses, and there is no TCP address: give one with --web.listen-address, or leave out --compat-ports")
	}
	for _, c := range cfg.Collectors() {
		if c.Port == 0 {
			continue
		}
		for _, host := range hosts {
			l, err := openCollector(all, &net.TCPAddr{IP: host.IP, Zone: host.Zone, Port: int(c.Port)})
			if err != nil {
				return all, fmt.Errorf("opening the port of collector %s: %w", c.Name, err)
			}
			all = append(all, listener{l, c.Name})
		}
	}
	return all, nil
}

// openCollector opens the address of one collector. The other open addresses are all.
func openCollector(all []listener, addr *net.TCPAddr) (net.Listener, error) {
	address := addr.String()
	if slices.ContainsFunc(all, func(l listener) bool { return l.Addr().String() == address }) {
		return nil, fmt.Errorf("listening on %s: it is the main address already; choose another --web.listen-address, or leave out --compat-ports", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, explain(err, address, "leave out --compat-ports")
	}
	return l, nil
}

// openMain opens the addresses that serve all collectors.
func openMain(flags *web.FlagConfig) ([]listener, error) {
	if flags.WebSystemdSocket != nil && *flags.WebSystemdSocket {
		return inherited()
	}
	var all []listener
	for _, address := range *flags.WebListenAddresses {
		open := openTCP
		switch {
		case strings.HasPrefix(address, "vsock:"):
			open = openVsock
		case strings.HasPrefix(address, "unix:"):
			open = openUnix
		}
		l, err := open(address)
		if err != nil {
			return all, explain(err, address, "choose another --web.listen-address")
		}
		all = append(all, listener{Listener: l})
	}
	if all == nil {
		return nil, errors.New("no address to listen on: give one with --web.listen-address")
	}
	return all, nil
}

// inherited returns the sockets that systemd opened.
func inherited() ([]listener, error) {
	sockets, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("taking over systemd's sockets: %w", err)
	}
	var all []listener
	for _, l := range sockets {
		if l != nil { // it is nil for a datagram socket
			all = append(all, listener{Listener: l})
		}
	}
	if all == nil {
		return nil, errors.New("systemd handed over no socket: start its .socket unit, or leave out --web.systemd-socket")
	}
	return all, nil
}

// openTCP opens an address such as :9436 or [::1]:9436. Without a port, any port would do for the
// kernel, and nobody would know which it is.
func openTCP(address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if port == "" {
		return nil, errors.New("it has no port")
	}
	return net.Listen("tcp", address)
}

// openVsock opens an address such as vsock://:9436. On such an address, the host of a virtual
// machine reaches kernscope without a network.
func openVsock(address string) (net.Listener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(u.Port(), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("reading the port of %s: %w", address, err)
	}
	// On whatever address this machine has: to ask which one takes /dev/vsock, which a sandbox hides.
	return vsock.ListenContextID(unix.VMADDR_CID_ANY, uint32(port), nil)
}

// hostsOf returns the IP addresses of the listeners, each once. If a listener listens on all
// addresses, hostsOf returns only that one.
func hostsOf(listeners []listener) []*net.TCPAddr {
	var hosts []*net.TCPAddr
	for _, l := range listeners {
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			continue
		}
		if addr.IP.IsUnspecified() {
			return []*net.TCPAddr{addr}
		}
		if !slices.ContainsFunc(hosts, func(h *net.TCPAddr) bool { return h.IP.Equal(addr.IP) && h.Zone == addr.Zone }) {
			hosts = append(hosts, addr)
		}
	}
	return hosts
}

// explain adds a remedy to an error of opening an address.
func explain(err error, address, remedy string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listening on %s: the port is taken, perhaps by another kernscope; stop the process that uses it (ss -ltnp shows it), or %s", address, remedy)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listening on %s: not permitted: a port below 1024 needs CAP_NET_BIND_SERVICE, a unix socket a folder that may be written to; or %s", address, remedy)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("listening on %s: the folder of the socket does not exist: create it, or %s", address, remedy)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listening on %s: this machine has no such address; %s", address, remedy)
	}
	return fmt.Errorf("listening on %s: %w", address, err)
}

// closeAll closes listeners. A listener may be closed already.
func closeAll(listeners []listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}
