// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

func TestServe(t *testing.T) {
	kerneltest.Open(t)
	address := freeAddress(t)
	p := start(t, nil, "serve", "--web.listen-address="+address)
	url := "http://" + address
	p.get(url + "/-/ready")
	metrics := p.get(url + "/metrics")
	for _, s := range builtin.Collectors() {
		if line := fmt.Sprintf("kernscope_collector_success{collector=%q} 1", s.Name); !strings.Contains(metrics, line) {
			t.Errorf("no line %s", line)
		}
	}
	for _, word := range []string{"kernscope_build_info{", "ebpf_syscalls_total{", "process_resident_memory_bytes "} {
		if !strings.Contains(metrics, word) {
			t.Errorf("no %s", word)
		}
	}
	if one := p.get(url + "/metrics?collect[]=schedlat"); strings.Contains(one, "ebpf_syscalls_total") || !strings.Contains(one, "ebpf_sched_runqueue_latency_microseconds_count") {
		t.Error("collect[]=schedlat does not serve schedlat alone")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if needed := os.Getenv("KERNSCOPE_KERNEL"); needed != "5.10" && !strings.Contains(string(status), "CapEff:\t0000000000000000") {
		t.Errorf("capabilities are left:\n%s", status)
	}

	fds := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := fds()
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			// More than --web.max-requests at once get 503, which is an answer.
			if _, err := fetch(ctx, url+"/metrics"); err != nil && !strings.Contains(err.Error(), "503") {
				t.Error(err)
			}
		})
	}
	group.Wait()
	http.DefaultClient.CloseIdleConnections()
	deadline := time.Now().Add(30 * time.Second)
	for fds() > before && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if after := fds(); after > before {
		t.Errorf("%d descriptors after fifty scrapes, %d before", after, before)
	}

	links, programs := p.inKernel()
	if len(links) == 0 || len(programs) == 0 {
		t.Fatal("no links or programs while serving: the test shows nothing")
	}
	p.stop()
	if n := remaining(links, programs); n > 0 {
		t.Errorf("%d links and programs are still in the kernel after the end", n)
	}
	if strings.Contains(p.log(), "panic") {
		t.Error(p.log())
	}
}

// TestTwoSignalsAtOnce is what timeout(1) sends.
func TestTwoSignalsAtOnce(t *testing.T) {
	kerneltest.Open(t)
	address := freeAddress(t)
	p := start(t, nil, "serve", "--web.listen-address="+address)
	p.get("http://" + address + "/-/ready")
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond) // or the kernel makes one of them
	p.stop()
}

func TestNamedCollectorHasItsPort(t *testing.T) {
	kerneltest.Open(t)
	p := start(t, nil, "serve", "schedlat", "--units=seconds")
	metrics := p.get("http://127.0.0.1:9107/metrics")
	if !strings.Contains(metrics, "ebpf_sched_runqueue_latency_seconds_count") || strings.Contains(metrics, "ebpf_syscalls_total") {
		t.Errorf("served on :9107: %s", metrics)
	}
	p.stop()
}

func TestCompatPorts(t *testing.T) {
	kerneltest.Open(t)
	p := start(t, nil, "serve", "--compat-ports", "--web.listen-address="+freeAddress(t))
	for _, s := range builtin.Collectors() {
		metrics := p.get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.Port))
		if !strings.Contains(metrics, fmt.Sprintf("kernscope_collector_success{collector=%q} 1", s.Name)) {
			t.Errorf("%s is not on port %d", s.Name, s.Port)
		}
		if n := strings.Count(metrics, "\nkernscope_collector_success{"); n != 1 {
			t.Errorf("%d collectors on port %d, want one", n, s.Port)
		}
	}
	p.stop()
}

func TestUnprivilegedUserWithTwoCapabilities(t *testing.T) {
	kerneltest.Open(t)
	address := freeAddress(t)
	p := start(t, nobody(unix.CAP_BPF, unix.CAP_PERFMON), "serve", "--web.listen-address="+address)
	metrics := p.get("http://" + address + "/metrics")
	for _, s := range builtin.Collectors() {
		if strings.Contains(metrics, fmt.Sprintf("kernscope_collector_success{collector=%q} 1", s.Name)) {
			continue
		}
		// Debian's kernels have a level at which perf takes more.
		excuse := regexp.MustCompile(`collector="memory",reason="nowhere to observe [^\n]*kernel.perf_event_paranoid=3[^\n]*,status="denied"`)
		const remedy = "sysctl kernel.perf_event_paranoid=2, or run as root, or grant CAP_SYS_ADMIN"
		if s.Name == "memory" && excuse.MatchString(metrics) && strings.Contains(p.log(), remedy) {
			continue
		}
		t.Errorf("%s does not run:\n%s", s.Name, p.log())
	}
	p.stop()
}

func TestUserWithoutPrivileges(t *testing.T) {
	kerneltest.Open(t)
	p := start(t, nobody(), "serve", "--web.listen-address="+freeAddress(t))
	code, stderr := p.wait()
	if code != exitFailure || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "lacks CAP_BPF and CAP_PERFMON; run as root") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

// TestEndWhileStarting is told to end once the first collector is attached.
func TestEndWhileStarting(t *testing.T) {
	kerneltest.Open(t)
	for _, command := range []string{"serve", "textfile"} {
		args := map[string][]string{
			"serve":    {"serve", "--web.listen-address=" + freeAddress(t)},
			"textfile": {"textfile", "--no-pin", "--window=1h", "--directory=" + t.TempDir()},
		}[command]
		p := start(t, nil, args...)
		p.says("Attached")
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		code, stderr := p.wait()
		switch {
		case command == "serve" && code != exitOK,
			command == "textfile" && (code != exitFailure || !strings.Contains(stderr, "told to end before anything was written")):
			t.Errorf("%s: code %d: %s", command, code, stderr)
		}
	}
}

// TestKernelWithoutTypes hides the kernel's type information, under /sys alone:
// in a chroot, / is no mount.
func TestKernelWithoutTypes(t *testing.T) {
	kerneltest.Open(t)
	types, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "vmlinux.btf")
	if err := os.WriteFile(file, types, 0o644); err != nil {
		t.Fatal(err)
	}
	hidden := []string{"unshare", "--mount", "--propagation", "unchanged", "sh", "-c",
		`mount --make-rprivate /sys && mount -t tmpfs none /sys/kernel/btf && exec "$@"`, "sh"}

	p := startUnder(t, hidden, "serve", "schedlat")
	if code, stderr := p.wait(); code != exitFailure || !strings.Contains(lastLine(stderr), "--btf=FILE") {
		t.Errorf("without types: code %d, %q", code, lastLine(stderr))
	}

	address := freeAddress(t)
	p = startUnder(t, hidden, "serve", "--btf="+file, "--web.listen-address="+address)
	metrics := p.get("http://" + address + "/metrics")
	for _, name := range []string{"diskio", "schedlat", "syscall"} {
		if !strings.Contains(metrics, fmt.Sprintf("kernscope_collector_success{collector=%q} 1", name)) {
			t.Errorf("%s does not run with types from a file:\n%s", name, p.log())
		}
	}
	if !strings.Contains(metrics, `attached="raw_tp/sched_switch"`) || strings.Contains(metrics, `attached="tp_btf/`) {
		t.Error("programs that need the kernel's own types are attached")
	}
	p.stop()
}

// TestEndingWith ends a scrape that hangs once the program is told to end, and
// lets others be.
func TestEndingWith(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	hung := make(chan error)
	source := endingWith(ctx, func(scrape context.Context, names []string) ([]metric.Family, error) {
		if names[0] == "hangs" {
			<-scrape.Done()
			return nil, scrape.Err()
		}
		return []metric.Family{{Name: names[0]}}, scrape.Err()
	})
	go func() {
		_, err := source(t.Context(), []string{"hangs"})
		hung <- err
	}()
	if _, err := source(t.Context(), []string{"works"}); err != nil {
		t.Error(err)
	}
	end()
	if families, err := source(t.Context(), []string{"works"}); err != nil || len(families) != 1 {
		t.Errorf("%v, %v of a scrape in the grace", families, err)
	}
	select {
	case err := <-hung:
		if err == nil {
			t.Error("no error of what did not end")
		}
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
}
