// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestContainersCPUs has the command run where other files stand in place of the
// kernel's about CPUs, as lxcfs does it: they show one CPU, and have other inodes
// each time. What happens on the others counts nevertheless.
func TestContainersCPUs(t *testing.T) {
	kerneltest.Open(t)
	cpus := kerneltest.CPUs(t)
	last := cpus[len(cpus)-1]
	const folder = "/sys/devices/system/cpu"
	one := fmt.Sprintf(`possible=$(cat %[1]s/possible) && mount -t tmpfs none %[1]s && cd %[1]s && echo $possible >possible &&
		mkdir -p cpu0/topology && echo 0 >online && echo 0 >present && cd / || exit`, folder)
	for _, tt := range []struct{ name, replace, again string }{
		{"the list", fmt.Sprintf("echo 0 >/tmp/online && mount --bind /tmp/online %s/online || exit", folder), "true"},
		{"the folder", one, one},
		{"a CPU's folder", fmt.Sprintf("mount -t tmpfs none %s/cpu%d || exit", folder, last), "true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := freeAddress(t)
			kerneltest.Tool(t, "nsenter")
			p := startUnder(t, []string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
				"mount -t tmpfs none /mnt && " + strings.ReplaceAll(tt.replace, "/tmp/", "/mnt/") + `; exec "$@"`, "sh"},
				"serve", "memory", "--collector.memory.processes", "--web.listen-address="+address)
			counted := func() int {
				return int(sample(t, p.get("http://"+address+"/metrics"), "ebpf_page_faults_by_process_total", "lxcfs-faulter"))
			}
			for n := 1; n <= 3; n++ {
				counted() // looks for CPUs
				const pages = 1000
				kerneltest.Fault(t, "lxcfs-faulter", last, pages)
				if got := counted(); got < n*pages || got > n*(pages+100) {
					t.Errorf("%d faults counted, %d pages were touched %d times", got, pages, n)
				}
				kerneltest.Command(t, "nsenter", "--target", fmt.Sprint(p.cmd.Process.Pid), "--mount", "sh", "-c", tt.again)
			}
			if metrics := p.get("http://" + address + "/metrics"); !strings.Contains(metrics, `kernscope_collector_success{collector="memory"} 1`) {
				t.Errorf("memory fails:\n%s", p.log())
			}
			p.stop()
		})
	}
}

// TestContainersPossibleCPUs has another list in place of the kernel's of the CPUs
// that maps have values for. With a wrong number nothing that is read is right.
func TestContainersPossibleCPUs(t *testing.T) {
	kerneltest.Open(t)
	for _, list := range []string{"0", "0-63"} {
		if list == fmt.Sprintf("0-%d", ebpf.MustPossibleCPU()-1) {
			continue // it is true
		}
		p := startUnder(t, []string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
			"mount -t tmpfs none /mnt && echo " + list + ` >/mnt/list && mount --bind /mnt/list /sys/devices/system/cpu/possible && exec "$@"`, "sh"},
			"serve", "schedlat", "--web.listen-address="+freeAddress(t))
		if code, stderr := p.wait(); code != exitFailure || !strings.Contains(stderr, "/sys/devices/system/cpu/possible lists") {
			t.Errorf("%s: code %d, %q", list, code, lastLine(stderr))
		}
	}
}

// sample returns the value of a family's sample with a label of that value and
// the label minor; 0 if there is none.
func sample(t *testing.T, text, family, label string) float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[family].GetMetric() {
		if m.Label[0].GetValue() == label && m.Label[1].GetValue() == "minor" {
			return m.GetCounter().GetValue()
		}
	}
	return 0
}
