// SPDX-License-Identifier: Apache-2.0

// Package collector is the contract between the collectors and everything
// that uses them. A collector is a [Spec]: a value that names its kernel
// programs, the maps they fill, and what each number in those maps means. It
// has no behaviour; the engine, doctor, list and the generators all read the
// same value, so there is nothing a built-in collector can do that a
// user-defined one cannot.
package collector

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Spec describes one collector.
type Spec struct {
	// Name identifies the collector: its flag, the "collector" label of the
	// self metrics and, without dashes, its folder and the prefix of its maps.
	Name string
	// Help says in one sentence what is measured.
	Help string
	// Port is where the collector listens when it is served alone. 0 means
	// that it has no port of its own.
	Port uint16
	// Load parses the embedded object; it touches no kernel. A collector
	// without programs has none.
	Load func() (*ebpf.CollectionSpec, error)
	// Module is the kernel module that the collector observes; nil if it
	// observes the kernel itself, which is always there.
	Module *Module
	// Needs are what the collector takes besides CAP_BPF and CAP_PERFMON.
	Needs []Need
	// Hooks are the places of the kernel that the collector observes.
	Hooks []Hook
	// Variables are the variables in C that the engine sets, besides
	// those of [CommonVariables].
	Variables []Variable
	// Options are the collector's own settings.
	Options []Option
	// Tables describes the maps whose rows are served or need care.
	Tables []Table
	// Metrics are the families that the collector serves.
	Metrics []Metric
	// Records, Alerts and Panels are what the rules and the dashboard are
	// made of.
	Records []Record
	Alerts  []Alert
	Panels  []Panel
}

// Module is a kernel module that may be loaded and unloaded at any time. The
// collector waits while it is not there.
type Module struct {
	// Name as in /sys/module, with underscores: "wireguard".
	Name string
	// Types returns the type information of a version of a module that has
	// none of its own; nil if the module brings its own.
	Types func(version string) (*btf.Spec, error)
}

// Need is what a collector takes from the system, for one reason. Held
// capabilities and systemd's units are made of it, and doctor shows it.
type Need struct {
	// Why says what for and on which machines, as a sentence.
	Why string
	// Capabilities as in capabilities(7): "CAP_SYS_ADMIN".
	Capabilities []string
	// Held means that the collector takes the capabilities not only to start,
	// but again and again while it runs, as at every read. Those that attaching
	// takes are held anyway if the collector has a [Module].
	Held bool
	// Sockets are address families as in address_families(7): "AF_NETLINK".
	Sockets []string
	// Devices are device files: "/dev/zfs".
	Devices []string
	// Namespaces are kinds of namespace that the collector enters, as
	// systemd.exec(5) names them: "net".
	Namespaces []string
}

// Hook is one place to observe. The engine takes the first of its ways that
// works on this machine.
type Hook struct {
	// Name is what the hook observes, in the user's words: "completion".
	Name string
	// Ways are the ways to observe it, best first.
	Ways []Way
	// When names the option without which the hook is left out; "" is always.
	// Unless names one with which it is.
	When   string
	Unless string
	// Optional lets the collector run where no way works: the hook is absent,
	// and so are the metrics that only it serves.
	Optional bool
	// Without says what an optional hook's absence means, in the user's words:
	// "major faults that swap in have no latency". "" is nothing.
	Without string
}

// Way is one way to observe a hook: exactly one of Programs and Source.
type Way struct {
	// Programs are names of programs in the object. They are attached
	// together or not at all. Type and target follow from each program's
	// section.
	Programs []string
	// Source is where the kernel itself counts.
	Source *Source
	// Types means that the programs read structures of the module, and so need
	// its type information.
	Types bool
	// Without says, in the user's words, what this way does not observe and a
	// better one does. "" is nothing.
	Without string
}

// By returns a way of each program alone, best first, as most hooks have them.
func By(programs ...string) []Way {
	ways := make([]Way, len(programs))
	for i, p := range programs {
		ways[i].Programs = []string{p}
	}
	return ways
}
