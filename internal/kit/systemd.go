// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	_ "embed"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"text/template"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

//go:embed systemd.tmpl
var systemdTemplate string

// units are the files that there are whatever the collectors.
var units = []string{
	"ebpf-exporters.target",
	"kernscope-textfile.service",
	"kernscope-textfile.timer",
	"kernscope.service",
	"kernscope@.service",
}

// systemdData is what the templates are given.
type systemdData struct {
	Command    string           // that writes the same again
	Collectors []string         // with a port of their own
	Needs      []collector.Need // of any collector, each once
	Flags      []string
}

func hasSockets(needs []collector.Need) bool {
	return slices.ContainsFunc(needs, func(n collector.Need) bool { return len(n.Sockets) > 0 })
}

func hasDevices(needs []collector.Need) bool {
	return slices.ContainsFunc(needs, func(n collector.Need) bool { return len(n.Devices) > 0 })
}

func hasNamespaces(needs []collector.Need) bool {
	return slices.ContainsFunc(needs, func(n collector.Need) bool { return len(n.Namespaces) > 0 })
}

// Systemd writes the units of systemd: one service for all collectors, one for
// each, a target that starts these, and a timer that writes textfiles. The
// result is by the file's name below systemd's folder for units; a name may
// have a folder of its own: a drop-in with what a collector needs besides. A
// collector without a port has no service of its own. Every service gives the
// flags to the program, besides those that choose the collectors and the unit. A
// name, port, need or flag that systemd would read otherwise is an error.
func Systemd(asked Asked, flags ...string) (map[string][]byte, error) {
	specs := asked.Specs
	t, err := template.New("systemd").Funcs(template.FuncMap{
		"hasSockets": hasSockets, "hasDevices": hasDevices, "hasNamespaces": hasNamespaces,
	}).Parse(systemdTemplate)
	if err != nil {
		return nil, fmt.Errorf("parsing the template of units: %w", err)
	}
	if err := checkUnits(specs); err != nil {
		return nil, err
	}
	if asked.Unit == metric.Seconds {
		flags = append([]string{asked.units()}, flags...)
	}
	for _, flag := range flags {
		if !flagText().MatchString(flag) {
			return nil, fmt.Errorf("flag %q: in a unit its value has only letters, digits and , . : / _ + -", flag)
		}
	}
	data := systemdData{Command: asked.command(append([]string{"systemd"}, flags...)...), Flags: flags}
	if asked.Some {
		data.Flags = append(data.Flags[:len(flags):len(flags)], "--collector.disable-defaults")
		for _, name := range asked.names() {
			data.Flags = append(data.Flags, "--collector."+name)
		}
	}
	for _, s := range specs {
		if s.Port != 0 {
			data.Collectors = append(data.Collectors, s.Name)
		}
		for _, n := range s.Needs {
			if !slices.ContainsFunc(data.Needs, func(other collector.Need) bool { return reflect.DeepEqual(n, other) }) {
				data.Needs = append(data.Needs, n)
			}
		}
	}
	files := make(map[string][]byte)
	write := func(name, template string, data systemdData) error {
		var out bytes.Buffer
		if err := t.ExecuteTemplate(&out, template, data); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		files[name] = out.Bytes()
		return nil
	}
	for _, name := range units {
		if err := write(name, name, data); err != nil {
			return nil, err
		}
	}
	for _, s := range specs {
		if len(s.Needs) == 0 || s.Port == 0 {
			continue
		}
		if err := write("kernscope@"+s.Name+".service.d/needs.conf", "drop-in", systemdData{Command: data.Command, Needs: s.Needs}); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// What systemd takes as a name of each.
var (
	instanceName   = pattern(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	capabilityName = pattern(`^CAP_[A-Z_]+$`)
	familyName     = pattern(`^AF_[A-Z0-9_]+$`)
	deviceName     = pattern(`^/dev/[a-zA-Z0-9/_-]+$`)
	namespaceName  = pattern(`^(cgroup|ipc|mnt|net|pid|time|user|uts)$`)
	// flagText has none of the bytes that mean something in ExecStart=: blanks, quotes, %, $ and \.
	flagText = pattern(`^--[a-z0-9.-]+(=[A-Za-z0-9,.:/_+-]*)?$`)
)

// checkUnits finds what would make units that do not start.
func checkUnits(specs []collector.Spec) error {
	ports := make(map[uint16]string)
	for _, s := range specs {
		if !instanceName().MatchString(s.Name) {
			return fmt.Errorf("collector %q: the name of a unit has only a-z, 0-9 and dashes", s.Name)
		}
		if other, taken := ports[s.Port]; taken && s.Port != 0 {
			return fmt.Errorf("collector %s: its port %d is that of %s", s.Name, s.Port, other)
		}
		ports[s.Port] = s.Name
		for _, n := range s.Needs {
			if err := checkNeed(n); err != nil {
				return fmt.Errorf("collector %s: %w", s.Name, err)
			}
		}
	}
	return nil
}

func checkNeed(n collector.Need) error {
	if _, err := comments(n.Why); err != nil || n.Why == "" {
		return fmt.Errorf("need %+v: wants a reason, in one line", n)
	}
	for _, list := range []struct {
		names []string
		right *regexp.Regexp
	}{
		{n.Capabilities, capabilityName()}, {n.Sockets, familyName()}, {n.Devices, deviceName()}, {n.Namespaces, namespaceName()},
	} {
		for _, name := range list.names {
			if !list.right.MatchString(name) {
				return fmt.Errorf("need %q (%s) is not of the form %v", name, n.Why, list.right)
			}
		}
	}
	return nil
}
