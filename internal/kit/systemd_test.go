// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"cmp"
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

// directive returns the values of a directive in a unit, in order. An empty
// value, which takes back those before it, is "-".
func directive(unit []byte, name string) (values []string) {
	for line := range strings.Lines(string(unit)) {
		if value, found := strings.CutPrefix(line, name+"="); found {
			values = append(values, strings.Fields(cmp.Or(strings.TrimSpace(value), "-"))...)
		}
	}
	return values
}

func TestSystemdFollowsSpecs(t *testing.T) {
	plain := collector.Spec{Name: "plain", Port: 9198}
	deaf := collector.Spec{Name: "deaf", Port: 9197, Needs: gadget().Needs[:1]}
	files, err := Systemd(Asked{Specs: []collector.Spec{plain, gadget(), deaf, stowaway()}})
	if err != nil {
		t.Fatal(err)
	}
	const dropIn = "kernscope@gad-get.service.d/needs.conf"
	for _, tc := range []struct {
		file, directive, want string
	}{
		{"ebpf-exporters.target", "Wants", "kernscope@plain.service kernscope@gad-get.service kernscope@deaf.service"},
		// One is After the other, not each: that is a cycle when both stop.
		{"ebpf-exporters.target", "After", "kernscope.service"},
		{"kernscope.service", "After", "network.target"},

		{"kernscope.service", "AmbientCapabilities", "CAP_BPF CAP_PERFMON CAP_SYSLOG CAP_NET_ADMIN CAP_SYS_PTRACE"},
		{"kernscope.service", "CapabilityBoundingSet", "CAP_BPF CAP_PERFMON CAP_SYSLOG CAP_NET_ADMIN CAP_SYS_PTRACE"},
		{"kernscope.service", "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_VSOCK AF_NETLINK AF_PACKET"},
		{"kernscope.service", "MemoryMax", "25%"},
		{"kernscope@.service", "MemoryMax", "25%"},
		{"kernscope-textfile.service", "MemoryMax", "25%"},
		{"kernscope.service", "RuntimeDirectory", "kernscope"},
		{"kernscope@.service", "RuntimeDirectory", "kernscope-%i"},
		{"kernscope.service", "PrivateDevices", "no"},
		{"kernscope.service", "DevicePolicy", "closed"},
		{"kernscope.service", "DeviceAllow", "/dev/null rw /dev/zero rw"},
		{"kernscope.service", "RestrictNamespaces", "net user"},

		{"kernscope-textfile.service", "CapabilityBoundingSet", "CAP_BPF CAP_PERFMON CAP_SYSLOG CAP_NET_ADMIN CAP_SYS_PTRACE"},
		{"kernscope-textfile.service", "RestrictAddressFamilies", "AF_UNIX AF_NETLINK AF_PACKET"},
		{"kernscope-textfile.service", "PrivateNetwork", ""},
		{"kernscope-textfile.service", "DeviceAllow", "/dev/null rw /dev/zero rw"},
		{"kernscope-textfile.service", "RestrictNamespaces", "net user"},

		{"kernscope@.service", "AmbientCapabilities", "CAP_BPF CAP_PERFMON"},
		{"kernscope@.service", "CapabilityBoundingSet", "CAP_BPF CAP_PERFMON"},
		{"kernscope@.service", "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_VSOCK"},
		{"kernscope@.service", "PrivateDevices", "yes"},
		{"kernscope@.service", "RestrictNamespaces", "yes"},

		{dropIn, "AmbientCapabilities", "CAP_SYSLOG CAP_NET_ADMIN"},
		{dropIn, "CapabilityBoundingSet", "CAP_SYSLOG CAP_NET_ADMIN"},
		{dropIn, "RestrictAddressFamilies", "AF_NETLINK AF_PACKET"},
		{dropIn, "PrivateDevices", "no"},
		{dropIn, "DevicePolicy", "closed"},
		{dropIn, "DeviceAllow", "/dev/null rw /dev/zero rw"},
		{dropIn, "RestrictNamespaces", "- net user"},

		{"kernscope@deaf.service.d/needs.conf", "AmbientCapabilities", "CAP_SYSLOG"},
		{"kernscope@deaf.service.d/needs.conf", "PrivateDevices", ""},
		{"kernscope@deaf.service.d/needs.conf", "RestrictNamespaces", ""},
	} {
		if got := strings.Join(directive(files[tc.file], tc.directive), " "); got != tc.want {
			t.Errorf("%s: %s=%s, want %s", tc.file, tc.directive, got, tc.want)
		}
	}
	for _, file := range []string{"kernscope.service", dropIn} {
		for _, n := range gadget().Needs {
			if !strings.Contains(string(files[file]), "\n# "+n.Why+"\n") {
				t.Errorf("%s does not say why: %s", file, n.Why)
			}
		}
	}
	for _, file := range []string{"kernscope.service", "kernscope@.service", "kernscope-textfile.service"} {
		var percent, limit int
		_, err := fmt.Sscanf(strings.Join(directive(files[file], "MemoryMax"), " "), "%d%%", &percent)
		for _, setting := range directive(files[file], "Environment") {
			if value, ok := strings.CutPrefix(setting, "GOMEMLIMIT="); ok && err == nil {
				_, err = fmt.Sscanf(value, "%dMiB", &limit)
			}
		}
		// What Linux leaves of 256 MB, and what the maps take on two CPUs.
		const small, maps = 230, 6
		if err != nil || limit == 0 || (limit+maps)*100 > percent*small {
			t.Errorf("%s: %d%% of %d MiB are less than Go's %d MiB and the maps: %v", file, percent, small, limit, err)
		}
	}
	// What has no port has no service, and what needs nothing has no drop-in.
	if len(files) != len(units)+2 {
		t.Errorf("files are %v", slices.Sorted(maps.Keys(files)))
	}
}

func TestSystemdWithoutNeeds(t *testing.T) {
	files, err := Systemd(Asked{Specs: []collector.Spec{{Name: "plain", Port: 9198}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ file, directive, want string }{
		{"kernscope.service", "PrivateDevices", "yes"},
		{"kernscope.service", "RestrictNamespaces", "yes"},
		{"kernscope-textfile.service", "PrivateNetwork", "yes"},
		{"kernscope-textfile.service", "RestrictAddressFamilies", "AF_UNIX"},
	} {
		if got := strings.Join(directive(files[tc.file], tc.directive), " "); got != tc.want {
			t.Errorf("%s: %s=%s, want %s", tc.file, tc.directive, got, tc.want)
		}
	}
}

func TestSystemdRefuses(t *testing.T) {
	needs := func(n collector.Need) collector.Spec {
		return collector.Spec{Name: "a", Port: 1, Needs: []collector.Need{n}}
	}
	for _, tc := range []struct {
		says string
		spec collector.Spec
	}{
		{`collector "a b"`, collector.Spec{Name: "a b", Port: 1}},
		{`collector "../a"`, collector.Spec{Name: "../a", Port: 1}},
		{"9199 is that of gad-get", collector.Spec{Name: "a", Port: 9199}},
		{"a reason", needs(collector.Need{Capabilities: []string{"CAP_SYSLOG"}})},
		{`"SYSLOG"`, needs(collector.Need{Why: ".", Capabilities: []string{"SYSLOG"}})},
		{`"NETLINK"`, needs(collector.Need{Why: ".", Sockets: []string{"NETLINK"}})},
		{`"zfs"`, needs(collector.Need{Why: ".", Devices: []string{"zfs"}})},
		{`"network"`, needs(collector.Need{Why: ".", Namespaces: []string{"network"}})},
	} {
		if files, err := Systemd(Asked{Specs: []collector.Spec{gadget(), tc.spec}}); err == nil || !strings.Contains(err.Error(), tc.says) || files != nil {
			t.Errorf("want an error that says %s: %v", tc.says, err)
		}
	}
}

// FuzzSystemd wants an error, or units of as many lines and directives as of a harmless
// collector.
func FuzzSystemd(f *testing.F) {
	for _, add := range []string{"\n", "\r", "\u0085", "\u2028", "\xff", "%", "%h", "$A", "${A}", `"`, "'", `\`, " ", ";", "\nExecStartPre=x", "\x00", "\x1b"} {
		f.Add("a"+add, "--btf=/a"+add, "."+add, "CAP_SYSLOG"+add, "AF_UNIX"+add, "/dev/null"+add)
	}
	f.Add("a-b", "--btf=/a/b", "why", "CAP_BPF", "AF_VSOCK", "/dev/zfs")
	write := func(name, flag, why, capability, family, device string) (map[string][]byte, error) {
		need := collector.Need{Why: why, Capabilities: []string{capability}, Sockets: []string{family}, Devices: []string{device}}
		return Systemd(Asked{Specs: []collector.Spec{{Name: name, Port: 9198, Needs: []collector.Need{need}}}, Some: true}, flag)
	}
	harmless, err := write("a", "--btf=/a", "why", "CAP_SYSLOG", "AF_UNIX", "/dev/null")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, flag, why, capability, family, device string) {
		files, err := write(name, flag, why, capability, family, device)
		if err != nil {
			if files != nil {
				t.Errorf("files beside the error %v", err)
			}
			return
		}
		for file, text := range files {
			if !strings.HasPrefix(file, "kernscope@"+name+".") && harmless[file] == nil {
				t.Errorf("file %q", file)
			}
			want := harmless[strings.Replace(file, "@"+name+".", "@a.", 1)]
			if strings.Count(string(text), "\n") != strings.Count(string(want), "\n") || strings.ContainsAny(string(text), "\r\u0085\u2028\u2029\x00\\") {
				t.Errorf("%q of %q, %q, %q, %q, %q, %q", text, name, flag, why, capability, family, device)
			}
			for line := range strings.Lines(string(text)) {
				if command, found := strings.CutPrefix(line, "ExecStart="); found && strings.Trim(flag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=,.:/_+-") != "" {
					t.Errorf("ExecStart=%s", command)
				}
			}
		}
	})
}

// TestSystemdAnalyze asks systemd itself whether it understands the units, and
// how exposed those of the built-in collectors leave the system. What the made-up
// collector needs is more than any has.
func TestSystemdAnalyze(t *testing.T) {
	kerneltest.Tool(t, "systemd-analyze")
	analyze := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.Command("systemd-analyze", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	dir, services := install(t, append(builtin.Collectors(), gadget(), stowaway()))
	for _, unit := range append(services, "ebpf-exporters.target", "kernscope-textfile.timer") {
		analyze(dir, "verify", "--man=no", "./"+unit)
	}
	dir, services = install(t, builtin.Collectors())
	for _, unit := range services {
		// The threshold is in tenths.
		analyze(dir, "security", "--offline=true", "--no-pager", "--threshold=25", "./"+unit)
	}
}

// install writes the units of collectors into a folder, for a program that
// exists, and returns the services' names.
func install(t *testing.T, specs []collector.Spec) (dir string, services []string) {
	t.Helper()
	files, err := Systemd(Asked{Specs: specs})
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
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
	services = []string{"kernscope.service", "kernscope-textfile.service"}
	for _, instance := range directive(files["ebpf-exporters.target"], "Wants") {
		if err := os.Symlink("kernscope@.service", filepath.Join(dir, instance)); err != nil {
			t.Fatal(err)
		}
		services = append(services, instance)
	}
	return dir, services
}
