// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/engine"
)

// TestRootWithoutPrivileges is what a container does to root: reasons are served.
// What the process is not permitted is not what the machine lacks.
func TestRootWithoutPrivileges(t *testing.T) {
	for _, tt := range []struct{ dropped, reason, remedy string }{
		{"-all", "creating a BPF map: not permitted: the process lacks CAP_BPF and CAP_PERFMON", "grant CAP_BPF and CAP_PERFMON"},
		{"-perfmon,-sys_admin", "loading a BPF program: not permitted: the process lacks CAP_PERFMON", "grant CAP_PERFMON"},
		{"-bpf,-sys_admin", "creating a BPF map: not permitted: the process lacks CAP_BPF", "grant CAP_BPF"},
	} {
		t.Run(tt.dropped, func(t *testing.T) {
			container := []string{"setpriv", "--bounding-set=" + tt.dropped, "--inh-caps=-all"}
			address := freeAddress(t)
			p := startUnder(t, container, "serve", "--web.listen-address="+address)
			metrics := p.get("http://" + address + "/metrics")
			for _, s := range builtin.Collectors() {
				want := fmt.Sprintf(`kernscope_collector_info{collector=%q,reason=%q,status="denied"} 1`, s.Name, tt.reason)
				if !strings.Contains(metrics, want) {
					t.Errorf("no line %s", want)
				}
			}
			if line := fmt.Sprintf("status=denied reason=%q remedy=%q", tt.reason, tt.remedy); !strings.Contains(p.log(), line) {
				t.Errorf("no line of the log says %s:\n%s", line, p.log())
			}
			if code, body := asked(t, "http://"+address+"/-/ready"); code != http.StatusServiceUnavailable || body != "kernscope is not ready: no collector runs.\n" {
				t.Errorf("/-/ready has code %d, %q", code, body)
			}
			if code, _ := asked(t, "http://"+address+"/-/healthy"); code != http.StatusOK {
				t.Errorf("/-/healthy has code %d", code)
			}
			p.stop()
			p = startUnder(t, container, "serve", "schedlat")
			if code, stderr := p.wait(); code != exitFailure || !strings.Contains(lastLine(stderr), "schedlat is denied") {
				t.Errorf("a named collector that cannot run: code %d, %q", code, lastLine(stderr))
			}
			p = startUnder(t, container, "textfile", "--no-pin", "--window=1ms", "--directory="+t.TempDir())
			if code, stderr := p.wait(); code != exitFailure || !strings.Contains(lastLine(stderr), "schedlat is denied") {
				t.Errorf("textfile: code %d, %q", code, lastLine(stderr))
			}
			doctor := exec.Command(container[0], append(container[1:], executable(t), "doctor", "--json")...)
			doctor.Env = append(doctor.Environ(), asCommand+"=1")
			text, _ := doctor.Output() // not every collector runs
			var r report
			if err := json.Unmarshal(text, &r); err != nil || r.Well {
				t.Fatalf("%v, doctor says %s", err, text)
			}
			for _, s := range r.Collectors {
				if s.Status != engine.Denied || s.Remedy != tt.remedy {
					t.Errorf("doctor says %+v", s)
				}
			}
		})
	}
}

// asked returns a page whatever its code.
func asked(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestReadiness(t *testing.T) {
	specs := []collector.Spec{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	for _, tt := range []struct {
		flag     string
		statuses [3]engine.Status
		want     string // "" is ready
	}{
		{"any", [3]engine.Status{"denied", "failed", "unsupported"}, "no collector runs"},
		{"any", [3]engine.Status{"denied", "running", "failed"}, ""},
		{"any", [3]engine.Status{"denied", "waiting", "failed"}, ""},
		{"any", [3]engine.Status{"stopped", "stopped", "stopped"}, "no collector runs"},
		{"all", [3]engine.Status{"running", "waiting", "running"}, ""},
		{"all", [3]engine.Status{"running", "denied", "failed"}, "b is denied, c failed"},
		{"b", [3]engine.Status{"denied", "running", "failed"}, ""},
		{"a,b", [3]engine.Status{"denied", "running", "failed"}, "a is denied"},
		{"c", [3]engine.Status{"running", "running", "stopped"}, "c is stopped"},
	} {
		r, err := parseReadiness(tt.flag, specs)
		if err != nil {
			t.Fatal(err)
		}
		var states []engine.State
		for i, s := range tt.statuses {
			states = append(states, engine.State{Collector: specs[i].Name, Status: s})
		}
		got := ""
		if err := r.check(states); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s of %v: %q, want %q", tt.flag, tt.statuses, got, tt.want)
		}
	}
	for _, flag := range []string{"", "some", "a,", "a,any", "A", "a b"} {
		if _, err := parseReadiness(flag, specs); err == nil || !strings.Contains(err.Error(), "--web.ready") {
			t.Errorf("%q: error %v", flag, err)
		}
	}
}
