// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestFewDescriptors has a limit that is too low, which is one clear error before anything is
// attached, then one that is just enough, and one that may be raised.
func TestFewDescriptors(t *testing.T) {
	kerneltest.Open(t)
	limited := func(flags string, args ...string) *process {
		return startUnder(t, []string{"sh", "-c", "ulimit " + flags + ` && exec "$@"`, "sh"}, args...)
	}
	options := []string{"--collector.syscall.errors", "--collector.syscall.latency", "--collector.memory.processes", "--collector.diskio.service-time"}
	var needed string
	for _, command := range []string{"serve", "textfile", "doctor"} {
		p := limited("-n 32", append([]string{command}, options...)...)
		code, stderr := p.wait()
		says := regexp.MustCompile(`may have 32 descriptors, and needs (\d+) `).FindStringSubmatch(stderr)
		if code != exitFailure || strings.Count(stderr, "\n") != 1 || says == nil {
			t.Fatalf("%s: code %d, %q", command, code, stderr)
		}
		needed = says[1]
	}
	for _, flags := range []string{"-n " + needed, "-Sn 32"} {
		address := freeAddress(t)
		p := limited(flags, append([]string{"serve", "--web.listen-address=" + address}, options...)...)
		metrics := p.get("http://" + address + "/metrics")
		for _, s := range builtin.Collectors() {
			if !strings.Contains(metrics, fmt.Sprintf("kernscope_collector_success{collector=%q} 1", s.Name)) {
				t.Errorf("ulimit %s: %s does not run:\n%s", flags, s.Name, p.log())
			}
		}
		p.stop()
	}
}

// TestBadAddressAttachesNothing has addresses that cannot be opened.
func TestBadAddressAttachesNothing(t *testing.T) {
	kerneltest.Open(t)
	for _, address := range []string{"127.0.0.1:", "nonsense", "192.0.2.1:9436", "unix:relative", "vsock://:x"} {
		p := start(t, nil, "serve", "--web.listen-address="+address)
		code, stderr := p.wait()
		if code != exitFailure || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, address) {
			t.Errorf("%s: code %d, %q", address, code, stderr)
		}
	}
}

// TestOpenToAll warns once if other machines may read the metrics without a password.
func TestOpenToAll(t *testing.T) {
	kerneltest.Open(t)
	for address, want := range map[string]int{"127.0.0.1:0": 0, "[::1]:0": 0, ":0": 1, "0.0.0.0:0": 1, "unix://" + t.TempDir() + "/s": 0} {
		p := start(t, nil, "serve", "schedlat", "--web.listen-address="+address)
		p.says("Listening on")
		p.stop()
		if n := strings.Count(p.log(), "--web.config.file adds TLS and passwords"); n != want {
			t.Errorf("%s: %d lines warn:\n%s", address, n, p.log())
		}
	}
}
