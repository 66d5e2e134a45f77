// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
	fifo, huge := filepath.Join(dir, "fifo"), filepath.Join(dir, "huge")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.WriteFile(huge, nil, 0o600), os.Truncate(huge, 1<<40)); err != nil {
		t.Fatal(err)
	}
	pipes := filepath.Join(dir, "pipes.yml")
	if err := os.WriteFile(pipes, []byte("tls_server_config: {cert_file: fifo, key_file: fifo}\n"), 0o600); err != nil {
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
		{[]string{"serve", "--collector.fileops.rows=0"}, exitUsage, []string{"flag --collector.fileops.rows: ", "0 is not in its range, 8 to 8192"}},
		{[]string{"serve", "--collector.fileops.cgroups", "--collector.fileops.rows=10000"}, exitUsage, []string{"flag --collector.fileops.rows: ", "8 to 8192"}},
		{[]string{"serve", "--collector.tcp-retransmit.rows=20"}, exitUsage, []string{"flag --collector.tcp-retransmit.rows: ", "32 to 65536"}},
		{[]string{"textfile", "--collector.syscall.rows=5"}, exitUsage, []string{"flag --collector.syscall.rows: ", "8 to 65536"}},
		{[]string{"list", "--collector.memory.rows=-5"}, exitUsage, []string{"flag --collector.memory.rows: ", "8 to 65536"}},
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
		{[]string{"serve", "--btf=/dev/zero"}, exitFailure, []string{"--btf", "/dev/zero", "no regular file"}},
		{[]string{"doctor", "--btf=" + fifo}, exitFailure, []string{"--btf", "fifo", "no regular file"}},
		{[]string{"textfile", "--btf=" + dir}, exitFailure, []string{"--btf", "no regular file"}},
		{[]string{"serve", "--btf=" + huge}, exitFailure, []string{"--btf", "huge", "bytes"}},
		{[]string{"serve", "--web.config.file=/dev/zero"}, exitUsage, []string{"/dev/zero", "no regular file"}},
		{[]string{"serve", "--web.config.file=" + fifo}, exitUsage, []string{"fifo", "no regular file"}},
		{[]string{"serve", "--web.config.file=" + dir}, exitUsage, []string{"no regular file"}},
		{[]string{"serve", "--web.config.file=" + pipes}, exitUsage, []string{"pipes.yml", "fifo", "no regular file"}},
		{[]string{"serve", "--web.config.file=" + huge}, exitUsage, []string{"huge", "bytes"}},
		{[]string{"textfile", "--no-pin", "--window=1ms", "--directory=" + fifo}, exitFailure, []string{"fifo", "not a directory"}},
		{[]string{"serve", "--web.listen-address="}, exitUsage, []string{"--web.listen-address", "give a value"}},
		{[]string{"serve", "--web.config.file="}, exitUsage, []string{"--web.config.file", "give a value"}},
		{[]string{"serve", "--web.telemetry-path="}, exitUsage, []string{"--web.telemetry-path", "give a value"}},
		{[]string{"serve", "--web.max-requests="}, exitUsage, []string{"--web.max-requests", "give a value"}},
		{[]string{"serve", "--web.ready="}, exitUsage, []string{"--web.ready", "give a value"}},
		{[]string{"serve", "--keep-capabilities="}, exitUsage, []string{"--keep-capabilities", "give a value"}},
		{[]string{"serve", "--pin-directory="}, exitUsage, []string{"--pin-directory", "give a value"}},
		{[]string{"serve", "--btf", ""}, exitUsage, []string{"--btf", "give a value"}},
		{[]string{"textfile", "--directory="}, exitUsage, []string{"--directory", "give a value"}},
		{[]string{"config", "prometheus", "--target="}, exitUsage, []string{"--target", "give a value"}},
		{[]string{"config", "systemd", "--directory="}, exitUsage, []string{"--directory", "give a value"}},
		{[]string{"serve", "--units="}, exitUsage, []string{"--units", "give a value"}},
		{[]string{"serve", "--units=fortnights"}, exitUsage, []string{"flag --units:", "microseconds"}},
		{[]string{"config", "prometheus", "--layout=many"}, exitUsage, []string{"flag --layout:"}},
		{[]string{"serve", "--log.level=loud"}, exitUsage, []string{"flag --log.level:"}},
		{[]string{"serve", "--log.format=xml"}, exitUsage, []string{"flag --log.format:"}},
		{[]string{"serve", "--web.max-requests=many"}, exitUsage, []string{"flag --web.max-requests:"}},
		{[]string{"textfile", "--window=long"}, exitUsage, []string{"flag --window:"}},
		{[]string{"serve", "--web.ready=some"}, exitUsage, []string{"flag --web.ready:", "some"}},
		{[]string{"serve", "--pin=maybe"}, exitUsage, []string{"flag --pin is on or off", "maybe"}},
		{[]string{"serve", "--no-pin=false"}, exitUsage, []string{"flag --no-pin is on or off"}},
		{[]string{"serve", "--collector.syscall.errors="}, exitUsage, []string{"flag --collector.syscall.errors is on or off"}},
		{[]string{"help", "nosuch"}, exitUsage, []string{`"nosuch"`, "serve, "}},
		{[]string{"help", "config", "nosuch"}, exitUsage, []string{`"nosuch"`, "rules, "}},
		{[]string{"help", "serve", "diskio"}, exitUsage, []string{`"diskio"`}},
		{[]string{"nosuch", "--help"}, exitUsage, []string{`"nosuch"`, "diskio, "}},
		{[]string{"config", "nosuch"}, exitUsage, []string{"nosuch"}},
		{[]string{"nosuch"}, exitUsage, []string{"nosuch"}},
		{[]string{"list", "nosuch"}, exitUsage, []string{"nosuch"}},
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
	for flag, word := range map[string]string{
		"--help": "serve", "--version": "kernscope, version", "help": "serve", "help textfile": "--window", "help config rules": "rules",
	} {
		if code, stdout, stderr := command(t, strings.Fields(flag)...); code != exitOK || !strings.Contains(stdout+stderr, word) {
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
		{"list --collector.diskio=false --collector.syscall=false --collector.memory=true", []string{"-diskio", "-syscall"}},
		{"list --collector.disable-defaults=true --collector.schedlat=true", []string{"schedlat"}},
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
