// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"text/template"

	"github.com/kernscope/kernscope/collector"
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
	Collectors   []string
	Capabilities []collector.Capability // what any needs, each once
	Flags        []string
}

// Systemd writes the units of systemd: one service for all collectors, one for
// each, a target that starts these, and a timer that writes textfiles. The
// result is by the file's name below systemd's folder for units; a name may
// have a folder of its own: a drop-in with a collector's further capabilities.
// The flags are given to the program in every service; they are kernscope's
// own, without blanks. A name, port or capability that systemd would not take is
// an error.
func Systemd(specs []collector.Spec, flags ...string) (map[string][]byte, error) {
	t, err := template.New("systemd").Parse(systemdTemplate)
	if err != nil {
		return nil, fmt.Errorf("parsing the template of units: %w", err)
	}
	if err := checkUnits(specs); err != nil {
		return nil, err
	}
	data := systemdData{Flags: flags}
	for _, s := range specs {
		data.Collectors = append(data.Collectors, s.Name)
		for _, c := range s.Capabilities {
			if !slices.Contains(data.Capabilities, c) {
				data.Capabilities = append(data.Capabilities, c)
			}
		}
	}
	files := make(map[string][]byte)
	write := func(name, template string, data any) error {
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
		if len(s.Capabilities) == 0 {
			continue
		}
		if err := write("kernscope@"+s.Name+".service.d/capabilities.conf", "drop-in", s.Capabilities); err != nil {
			return nil, err
		}
	}
	return files, nil
}

var (
	instanceName   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	capabilityName = regexp.MustCompile(`^CAP_[A-Z_]+$`)
)

// checkUnits finds what would make units that do not start.
func checkUnits(specs []collector.Spec) error {
	ports := make(map[uint16]string)
	for _, s := range specs {
		if !instanceName.MatchString(s.Name) {
			return fmt.Errorf("collector %q: the name of a unit has only a-z, 0-9 and dashes", s.Name)
		}
		if s.Port == 0 {
			return fmt.Errorf("collector %s: has no port to be served on alone", s.Name)
		}
		if other, taken := ports[s.Port]; taken {
			return fmt.Errorf("collector %s: its port %d is that of %s", s.Name, s.Port, other)
		}
		ports[s.Port] = s.Name
		for _, c := range s.Capabilities {
			if !capabilityName.MatchString(c.Name) || c.Why == "" {
				return fmt.Errorf("collector %s: capability %q needs a name as in capabilities(7) and a reason", s.Name, c.Name)
			}
		}
	}
	return nil
}
