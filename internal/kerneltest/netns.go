// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Network is a network namespace, and the thread that is in it. It ends when it
// is closed and its last socket is.
type Network struct {
	thread int
	work   chan func() error
	result chan error
}

// NewNetwork returns a new network namespace. Its loopback device is down.
func NewNetwork() (*Network, error) {
	n := &Network{work: make(chan func() error), result: make(chan error)}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range n.work {
			n.result <- f()
		}
	}()
	err := n.Do(func() error {
		n.thread = unix.Gettid()
		return unix.Unshare(unix.CLONE_NEWNET)
	})
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return n, nil
}

// Do calls a function on the network's thread: the sockets that it makes are in
// the network.
func (n *Network) Do(f func() error) error {
	n.work <- f
	return <-n.result
}

// Thread returns the thread that is in the network: "ip link set … netns" takes it.
func (n *Network) Thread() int { return n.thread }

// Close lets the thread end.
func (n *Network) Close() { close(n.work) }

// Run runs a command in the network.
func (n *Network) Run(command string) error {
	words := strings.Fields(command)
	return n.Do(func() error {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", command, err, out)
		}
		return nil
	})
}

// Set sets a sysctl of the network, "ipv4/tcp_syn_linear_timeouts". The error
// is fs.ErrNotExist where the kernel has none of the name.
func (n *Network) Set(sysctl, value string) error {
	return n.Do(func() error { return os.WriteFile("/proc/sys/net/"+sysctl, []byte(value), 0) })
}

// Counter returns what the kernel has counted in the network: a name of a group in
// /proc/net/snmp or /proc/net/netstat.
func (n *Network) Counter(file, group, name string) (int, error) {
	return counter(fmt.Sprintf("/proc/self/task/%d/net/%s", n.thread, file), group, name)
}

// Elsewhere returns what the kernel has counted in each of the other networks that a
// task of the machine is in, by their inodes.
func Elsewhere(t testing.TB, file, group, name string, except ...*Network) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for _, folder := range Tasks(t) {
		network, err := os.Readlink(folder + "/ns/net")
		if err != nil {
			continue // it has died
		}
		if _, counted := all[network]; counted {
			continue
		}
		if n, err := counter(folder+"/net/"+file, group, name); err == nil {
			all[network] = n
		}
	}
	for _, n := range except {
		network, err := os.Readlink(fmt.Sprintf("/proc/self/task/%d/ns/net", n.thread))
		if err != nil {
			t.Fatal(err)
		}
		delete(all, network)
	}
	return all
}

// counter returns a value of a file whose lines come in pairs: names, and values.
func counter(file, group, name string) (int, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(raw)) {
		words := strings.Fields(line)
		if words[0] != group+":" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i := range min(len(names), len(words)) {
			if names[i] == name {
				return strconv.Atoi(words[i])
			}
		}
	}
	return 0, fmt.Errorf("%s has no %s of %s", file, name, group)
}
