// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// resends sends data to itself in a separate network namespace, and drops every tenth packet at the
// receiver. This causes real retransmits of single segments, most of them by kernel threads.
type resends struct {
	network   *kerneltest.Network
	near, far *net.TCPConn
	data      []byte
}

// resendsTo is the receiver's address. Nothing else on the machine has it, because it is reserved
// for documentation (RFC 5737).
const resendsTo = "192.0.2.1"

func newResends() (workload, error) {
	n, err := newNetwork()
	if err != nil {
		return nil, err
	}
	r := &resends{network: n, data: make([]byte, 64<<10)}
	if r.near, r.far, err = pair(n); err != nil {
		n.Close()
		return nil, err
	}
	go io.Copy(io.Discard, r.far) // ends when r.far is closed
	if err := control(r.far, loseEveryTenth); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *resends) run(n int) (time.Duration, error) {
	begin := time.Now()
	before, err := r.total()
	for again := before; err == nil && again < before+uint64(n); again, err = r.total() {
		if _, err := r.near.Write(r.data); err != nil {
			return 0, fmt.Errorf("sending: %w", err)
		}
	}
	return time.Since(begin), err
}

// total returns the connection's own count of retransmitted segments.
func (r *resends) total() (again uint64, err error) {
	err = control(r.near, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			again = uint64(info.Total_retrans)
		}
		return err
	})
	return again, err
}

func (r *resends) labels() map[string]string { return map[string]string{"destination": resendsTo} }

func (r *resends) close() error {
	// Without linger, the connection ends at once and sends nothing again.
	err := errors.Join(r.near.SetLinger(0), r.near.Close(), r.far.Close())
	r.network.Close()
	return err
}

// loseEveryTenth makes a socket drop a tenth of the packets that reach it.
func loseEveryTenth(fd int) error {
	const random = 0xfffff000 + 56 // SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: random},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: ^uint32(0) / 10, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// control calls a function with the connection's file descriptor.
func control(c *net.TCPConn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	return errors.Join(raw.Control(func(fd uintptr) { inner = f(int(fd)) }), inner)
}

// newNetwork makes a network namespace in which single segments are retransmitted soon.
func newNetwork() (*kerneltest.Network, error) {
	n, err := kerneltest.NewNetwork()
	if err != nil {
		return nil, err
	}
	for _, command := range []string{
		// Each packet is one segment, so each retransmit sends one segment.
		"ip link set lo up mtu 1500 gso_max_segs 1",
		// A segment that nobody acknowledges is sent again after 1 ms.
		"ip route add local " + resendsTo + " dev lo rto_min 1ms",
	} {
		err := n.Run(command)
		if err == nil {
			continue
		}
		n.Close()
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%w: it has no ip(8)", errUnsupported)
		}
		return nil, err
	}
	return n, nil
}

// pair returns both ends of a connection within the namespace.
func pair(n *kerneltest.Network) (near, far *net.TCPConn, err error) {
	err = n.Do(func() error {
		var config net.ListenConfig
		config.SetMultipathTCP(false)
		listener, err := config.Listen(context.Background(), "tcp", resendsTo+":0")
		if err != nil {
			return err
		}
		defer listener.Close()
		if near, err = net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr)); err != nil {
			return err
		}
		far, err = listener.(*net.TCPListener).AcceptTCP()
		return err
	})
	return near, far, err
}
