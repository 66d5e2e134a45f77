// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// unheard is a collector that only this test has.
func unheard() collector.Spec {
	return collector.Spec{
		Name: "un-heard", Port: 9199,
		Needs: []collector.Need{{Capabilities: []string{"CAP_SYSLOG"}, Why: "It hears."}},
	}
}

// directive are the values of a directive in a unit, in order.
func directive(unit []byte, name string) (values []string) {
	for line := range strings.Lines(string(unit)) {
		if value, found := strings.CutPrefix(line, name+"="); found {
			values = append(values, strings.Fields(value)...)
		}
	}
	return values
}

func TestSystemdFollowsSpecs(t *testing.T) {
	plain := collector.Spec{Name: "plain", Port: 9198}
	deaf := collector.Spec{Name: "deaf", Port: 9197, Needs: unheard().Needs}
	files, err := Systemd([]collector.Spec{plain, unheard(), deaf})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		file, directive, want string
	}{
		{"ebpf-exporters.target", "Wants", "kernscope@plain.service kernscope@un-heard.service kernscope@deaf.service"},
		// One is After the other, not each: that is a cycle when both stop.
		{"ebpf-exporters.target", "After", "kernscope.service"},
		{"kernscope.service", "After", "network.target"},
		{"kernscope.service", "AmbientCapabilities", "CAP_BPF CAP_PERFMON CAP_SYSLOG"},
		{"kernscope.service", "CapabilityBoundingSet", "CAP_BPF CAP_PERFMON CAP_SYSLOG"},
		{"kernscope-textfile.service", "CapabilityBoundingSet", "CAP_BPF CAP_PERFMON CAP_SYSLOG"},
		{"kernscope@.service", "AmbientCapabilities", "CAP_BPF CAP_PERFMON"},
		{"kernscope@.service", "CapabilityBoundingSet", "CAP_BPF CAP_PERFMON"},
		{"kernscope@un-heard.service.d/needs.conf", "AmbientCapabilities", "CAP_SYSLOG"},
		{"kernscope@un-heard.service.d/needs.conf", "CapabilityBoundingSet", "CAP_SYSLOG"},
		{"kernscope@deaf.service.d/needs.conf", "AmbientCapabilities", "CAP_SYSLOG"},
	} {
		if got := strings.Join(directive(files[tc.file], tc.directive), " "); got != tc.want {
			t.Errorf("%s: %s=%s, want %s", tc.file, tc.directive, got, tc.want)
		}
	}
	if len(files) != len(units)+2 {
		t.Errorf("files for what needs none: %v", slices.Sorted(maps.Keys(files)))
	}
}

func TestSystemdRefuses(t *testing.T) {
	for _, tc := range []struct {
		says string
		spec collector.Spec
	}{
		{`collector "a b"`, collector.Spec{Name: "a b", Port: 1}},
		{`collector "../a"`, collector.Spec{Name: "../a", Port: 1}},
		{"no port", collector.Spec{Name: "a"}},
		{"9199 is that of un-heard", collector.Spec{Name: "a", Port: 9199}},
		{`"SYSLOG"`, collector.Spec{Name: "a", Port: 1, Needs: []collector.Need{{Capabilities: []string{"SYSLOG"}, Why: "."}}}},
		{"a reason", collector.Spec{Name: "a", Port: 1, Needs: []collector.Need{{Capabilities: []string{"CAP_SYSLOG"}}}}},
	} {
		if files, err := Systemd([]collector.Spec{unheard(), tc.spec}); err == nil || !strings.Contains(err.Error(), tc.says) || files != nil {
			t.Errorf("want an error that says %s: %v", tc.says, err)
		}
	}
}

// TestSystemdAnalyze asks systemd itself about the units.
func TestSystemdAnalyze(t *testing.T) {
	kerneltest.Tool(t, "systemd-analyze")
	specs := append(builtin.Collectors(), unheard())
	files, err := Systemd(specs)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// A program that exists.
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, unit := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(unit), "/usr/bin/kernscope", program)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	services := []string{"kernscope.service", "kernscope-textfile.service"}
	for _, s := range specs {
		instance := fmt.Sprintf("kernscope@%s.service", s.Name)
		if err := os.Symlink("kernscope@.service", filepath.Join(dir, instance)); err != nil {
			t.Fatal(err)
		}
		services = append(services, instance)
	}
	analyze := func(args ...string) {
		t.Helper()
		cmd := exec.Command("systemd-analyze", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, unit := range append(services, "ebpf-exporters.target", "kernscope-textfile.timer") {
		analyze("verify", "--man=no", "./"+unit)
	}
	for _, unit := range services {
		// The threshold is in tenths.
		analyze("security", "--offline=true", "--no-pager", "--threshold=25", "./"+unit)
	}
}
