// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// command runs a command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestBadInputIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.btf")
	if err := os.WriteFile(garbage, []byte("no type information"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"--no-such-flag"}, exitUsage, []string{"no-such-flag"}},
		{[]string{"serve", "--no-such-flag"}, exitUsage, []string{"no-such-flag"}},
		{[]string{"--collector.nosuch"}, exitUsage, []string{"collector.nosuch"}},
		{[]string{"serve", "nosuch"}, exitUsage, []string{`"nosuch"`, "diskio, "}},
		{[]string{"config"}, exitUsage, []string{"subcommand"}},
		{[]string{"config", "rules", "nosuch"}, exitUsage, []string{`"nosuch"`, "diskio, "}},
		{[]string{"config", "prometheus", "--target=db1:9436"}, exitUsage, []string{`"db1:9436"`, "without port"}},
		{[]string{"config", "prometheus", "--layout=many"}, exitUsage, []string{"many"}},
		{[]string{"doctor", "nosuch"}, exitUsage, []string{`"nosuch"`, "diskio, "}},
		{[]string{"serve", "--units=fortnights"}, exitUsage, []string{"fortnights"}},
		{[]string{"serve", "--collector.disable-defaults"}, exitUsage, []string{"no collector is left"}},
		{[]string{"serve", "--keep-capabilities=cap_bpf,cap_nonsense"}, exitUsage, []string{"--keep-capabilities", "cap_nonsense"}},
		{[]string{"--web.telemetry-path=/x", "serve"}, exitUsage, []string{`"serve" is a command`}},
		{[]string{"serve", "--web.telemetry-path=/"}, exitUsage, []string{`"/"`}},
		{[]string{"serve", "--web.max-requests=-1"}, exitUsage, []string{"-1"}},
		{[]string{"serve", "--web.config.file=" + dir + "/absent.yml"}, exitUsage, []string{"absent.yml"}},
		{[]string{"serve", "--btf=" + dir + "/absent"}, exitFailure, []string{"--btf", "absent"}},
		{[]string{"serve", "--btf=" + garbage}, exitFailure, []string{"--btf", "garbage.btf"}},
	} {
		code, stdout, stderr := command(t, tc.args...)
		if code != tc.code {
			t.Errorf("%v: exit code %d, want %d", tc.args, code, tc.code)
		}
		if stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "kernscope: ") {
			t.Errorf("%v: not one line of error: stdout %q, stderr %q", tc.args, stdout, stderr)
		}
		for _, word := range tc.says {
			if !strings.Contains(stderr, word) {
				t.Errorf("%v: %q does not name %q", tc.args, stderr, word)
			}
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for flag, word := range map[string]string{"--help": "serve", "--version": "kernscope, version"} {
		if code, stdout, stderr := command(t, flag); code != exitOK || !strings.Contains(stdout+stderr, word) {
			t.Errorf("%s: code %d, %q", flag, code, stdout+stderr)
		}
	}
}

func TestListNamesEverything(t *testing.T) {
	code, stdout, _ := command(t, "list", "--units=seconds")
	if code != exitOK {
		t.Fatalf("code %d", code)
	}
	for _, s := range builtin.Collectors() {
		for _, m := range s.Metrics {
			if !strings.Contains(stdout, signature(s, m, "seconds")) {
				t.Errorf("list does not show %s of %s", m.Name, s.Name)
			}
		}
		for _, o := range s.Options {
			if !strings.Contains(stdout, "--collector."+s.Name+"."+o.Name+":") {
				t.Errorf("list does not show option %s of %s", o.Name, s.Name)
			}
		}
	}
}

func TestDoctorFindsThisMachineWell(t *testing.T) {
	kerneltest.Open(t)
	code, stdout, stderr := command(t, "doctor", "--json")
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	if code != exitOK || !r.Well {
		t.Errorf("code %d: %s", code, stderr)
	}
	if len(r.Collectors) != len(builtin.Collectors()) {
		t.Errorf("%d collectors", len(r.Collectors))
	}
	for i, s := range r.Collectors {
		if s.Status != engine.Running || len(s.Hooks) == 0 || s.Hooks[0].Attach == "" {
			t.Errorf("%+v", s)
		}
		for _, hook := range builtin.Collectors()[i].Hooks {
			named := func(h attach.HookState) bool { return h.Name == hook.Name }
			if hook.When == "" && hook.Unless == "" && !slices.ContainsFunc(slices.Concat(s.Hooks, s.Absent), named) {
				t.Errorf("%s does not show %s", s.Collector, hook.Name)
			}
		}
	}
	if _, text, _ := command(t, "doctor", "schedlat"); !strings.Contains(text, "1 of 1 collectors run on this machine") {
		t.Errorf("text: %s", text)
	}
}

func TestChosen(t *testing.T) {
	for _, tc := range []struct {
		args string
		want []string // nil is all
	}{
		{"list", nil},
		{"list --no-collector.diskio --no-collector.syscall", []string{"-diskio", "-syscall"}},
		{"list --collector.disable-defaults --collector.schedlat", []string{"schedlat"}},
	} {
		flags := parsed(t, strings.Fields(tc.args)...)
		chosen, err := flags.chosen(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]bool)
		for _, s := range chosen {
			got[s.Name] = true
		}
		want := make(map[string]bool)
		for _, s := range builtin.Collectors() {
			want[s.Name] = len(tc.want) == 0 || strings.HasPrefix(tc.want[0], "-")
		}
		for _, w := range tc.want {
			want[strings.TrimPrefix(w, "-")] = !strings.HasPrefix(w, "-")
		}
		for name, on := range want {
			if got[name] != on {
				t.Errorf("%q: %s is %v, want %v", tc.args, name, got[name], on)
			}
		}
	}
}

func TestBusyPort(t *testing.T) {
	kerneltest.Open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := start(t, nil, "serve", "--web.listen-address="+l.Addr().String())
	code, stderr := p.wait()
	if last := lastLine(stderr); code != exitFailure || !strings.Contains(last, "port is taken") || !strings.Contains(last, l.Addr().String()) {
		t.Errorf("code %d, last line %q", code, last)
	}
}
