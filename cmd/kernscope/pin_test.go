// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/link"
)

// TestServePinned ends the exporter in order and by force: the next goes on
// from what was counted, also while none ran.
func TestServePinned(t *testing.T) {
	p := newPlace(t)
	serve := func() (*process, string) {
		address := freeAddress(t)
		args := []string{"serve", "fileops", "--pin", "--pin-directory=" + p.pins, "--web.listen-address=" + address}
		return start(t, nil, args...), "http://" + address + "/metrics"
	}
	series := func(reads int) string {
		return fmt.Sprintf("ebpf_file_ops_total{operation=\"read\",process=\"textfile-reader\"} %d\n", reads)
	}
	first, url := serve()
	first.get(url)
	read(t, 101)
	if metrics := first.get(url); !strings.Contains(metrics, series(101)) {
		t.Fatalf("no line %s in %s\n%s", series(101), metrics, first.log())
	}
	first.stop()
	read(t, 11)
	second, url := serve()
	if metrics := second.get(url); !strings.Contains(metrics, series(112)) || !strings.Contains(metrics, `kernscope_collector_adopted{collector="fileops"} 1`) {
		t.Errorf("no line %s, or not adopted:\n%s", series(112), second.log())
	}
	if log := second.log(); !strings.Contains(log, `msg="Adopted what an earlier process pinned" collector=fileops hooks="`) {
		t.Errorf("nothing says that it adopted:\n%s", log)
	}
	_ = second.cmd.Process.Kill()
	second.wait()
	read(t, 1009)
	third, url := serve()
	if metrics := third.get(url); !strings.Contains(metrics, series(1121)) {
		t.Errorf("no line %s:\n%s", series(1121), third.log())
	}
	links, programs := p.pinned(t)
	if log := p.run(t, "--unpin"); !strings.Contains(log, `msg="Removed what another process has pinned and uses`) || !strings.Contains(log, "collector=fileops") {
		t.Errorf("nothing says that it took another's pins: %q", log)
	}
	third.stop()
	if n := remaining(links, programs); n > 0 || len(links) == 0 {
		t.Errorf("%d of %d links and programs stay in the kernel", n, len(links)+len(programs))
	}
}

// TestServeUnpinsWhatIsSwitchedOff has a collector of an earlier run, which an
// exporter of another by name leaves alone, and one that is told not to run it
// ends.
func TestServeUnpinsWhatIsSwitchedOff(t *testing.T) {
	p := newPlace(t)
	serve := func(args ...string) {
		address := freeAddress(t)
		exporter := start(t, nil, append([]string{"serve", "--pin", "--pin-directory=" + p.pins, "--web.listen-address=" + address}, args...)...)
		exporter.get("http://" + address + "/metrics")
		exporter.stop()
	}
	p.run(t, "fileops")
	links, programs := p.pinned(t)
	off := []string{"--no-collector.fileops", "--collector.disable-defaults", "--collector.schedlat"}
	serve(append(off, "schedlat")...)
	if now, _ := p.pinned(t); len(links) == 0 || !subset(links, now) {
		t.Errorf("links %v of fileops, now %v: those are another's", links, now)
	}
	serve(off...)
	if n := remaining(links, programs); n > 0 {
		t.Errorf("%d links and programs of a collector that is switched off stay in the kernel", n)
	}
	if now, _ := p.pinned(t); len(now) == 0 {
		t.Error("the other is not pinned any more")
	}
}

// TestStartThatFailsLeavesNothing starts where the port is taken, without a
// capability that it is to keep, and with a key that another user alone may read.
// What an earlier run left counting goes on, also
// where this one would replace it.
func TestStartThatFailsLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	keys := t.TempDir()
	certificate(t, keys, 1)
	config := filepath.Join(keys, "web.yml")
	if err := errors.Join(
		os.WriteFile(config, []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"), 0o600),
		os.Chown(filepath.Join(keys, "key.pem"), 65534, 65534),
	); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, earlier string
		args          []string
		says          string
	}{
		{"port", "--units=microseconds", []string{"--web.listen-address=" + taken.Addr().String()}, "port is taken"},
		{"port, other options", "--units=seconds", []string{"--web.listen-address=" + taken.Addr().String()}, "port is taken"},
		{"privileges", "--units=microseconds", []string{"--web.listen-address=" + freeAddress(t), "--keep-capabilities=cap_net_raw"}, "keeping cap_net_raw"},
		{"key", "--units=microseconds", []string{"--web.listen-address=" + freeAddress(t), "--web.config.file=" + config}, "after giving up capabilities: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.run(t, "schedlat", tt.earlier)
			earlier, _ := p.pinned(t)
			args := append([]string{"serve", "schedlat", "fileops", "--pin", "--pin-directory=" + p.pins}, tt.args...)
			without := []string{"setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"}
			code, stderr := startUnder(t, without, args...).wait()
			if code != exitFailure || !strings.Contains(lastLine(stderr), tt.says) {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			now, _ := p.pinned(t)
			if len(earlier) == 0 || !subset(earlier, now) || !subset(now, earlier) {
				t.Errorf("links %v are pinned, before the start %v", now, earlier)
			}
		})
	}
}

func subset(some, all []link.ID) bool {
	return !slices.ContainsFunc(some, func(id link.ID) bool { return !slices.Contains(all, id) })
}

// TestPinningTakesTwoCapabilities is root as systemd's unit leaves it. Before
// Linux 5.11 tables count as locked memory.
func TestPinningTakesTwoCapabilities(t *testing.T) {
	p := newPlace(t)
	unit := []string{"sh", "-c",
		`ulimit -l unlimited 2>/dev/null; exec setpriv --bounding-set=-all,+bpf,+perfmon --inh-caps=-all "$@"`, "sh"}
	for _, adopted := range []float64{0, 1} {
		code, stderr := startUnder(t, unit, p.args("fileops", "schedlat", "cachestat")...).wait()
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		files := readFiles(t, p.files)
		for _, name := range []string{"fileops", "schedlat", "cachestat"} {
			labels := map[string]string{"collector": name}
			if got := files.value(name+".prom", "kernscope_collector_adopted", labels); got != adopted {
				t.Errorf("%s: adopted %v, want %v", name, got, adopted)
			}
		}
	}
	if code, stderr := startUnder(t, unit, p.args("--unpin")...).wait(); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
