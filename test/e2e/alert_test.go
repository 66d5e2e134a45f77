// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestAlert follows the alert of a slow disk from the kernel's event to the pager, with the shipped
// configuration and rules, in real time.
func TestAlert(t *testing.T) {
	t.Parallel()
	const critical, high = "DiskLatencyP99Critical", "DiskLatencyP99High"
	pager, webhook := newPager(t)
	manager := alertmanager(t, webhook)
	disk := newSlowDisk(t, 300*time.Millisecond)
	d := deploy(t, false, manager)

	var states []string
	watch := func() (string, error) {
		state, err := d.state(t, critical, disk.name)
		if err == nil && (len(states) == 0 || states[len(states)-1] != state) {
			states = append(states, state)
		}
		return state, err
	}
	query(t, d.prometheus, `up{job="kernscope"} == 1`)
	eventually(t, "the rules are not evaluated", watch)
	before := disk.reads(t)
	load := startFio(t, disk)
	const lasts = 2 * time.Minute // how long the alert is pending before it fires
	kerneltest.Eventually(t, lasts+patience, critical+" does not fire", func() (string, error) {
		state, err := watch()
		if err == nil && state != "firing" {
			err = errors.New("it is " + state)
		}
		return state, err
	})
	if want := []string{"inactive", "pending", "firing"}; !slices.Equal(states, want) {
		t.Errorf("%s was %v, want %v", critical, states, want)
	}
	if state, err := d.state(t, high, disk.name); state != "pending" && state != "firing" {
		t.Errorf("%s, which takes longer, is %q: %v", high, state, err)
	}
	page := eventually(t, "nobody is paged", func() (notified, error) { return pager.received(critical, disk.name) })
	did := load.end(t)

	disk.agrees(t, d, before, did)
	for label, want := range map[string]string{"severity": "critical", "instance": d.host, "operation": "read"} {
		if page.Labels[label] != want {
			t.Errorf("the notification's %s is %q, want %q", label, page.Labels[label], want)
		}
	}
	if page.Status != "firing" {
		t.Errorf("the notification says %q", page.Status)
	}
	readable(t, page, disk, did)
}

// agrees compares what Prometheus says about the disk with what the kernel, fio and the disk itself
// say. The kernel had counted some reads before kernscope started; before is their number. Few
// reads are not fio's. An I/O takes longer than the disk's own part of it, and not longer than fio
// waits for it. So the same holds for the quantiles, within the width of a bucket and fio's
// precision.
func (d *slowDisk) agrees(t *testing.T, on *deployment, before int, did fioReads) {
	t.Helper()
	const growth, precision = 1.0905, 1.016 // 2^(1/8), 1+1/64
	series := fmt.Sprintf(`ebpf_disk_io_latency_microseconds{instance=%q,device=%q,operation="read"}`, on.host, d.name)
	number := func(expr string) float64 { return query(t, on.prometheus, expr)[0].number() }
	if n := d.slowReads(); n != did.IOs {
		t.Errorf("the disk served %d slow reads, fio made %d", n, did.IOs)
	}
	// Some kernels run no program while certain processes are current. A completion may interrupt
	// such a process, so one read in a hundred may be missing. The collector's tests are exact.
	eventually(t, "Prometheus has another number of reads than the kernel", func() (float64, error) {
		n, want := number("histogram_count("+series+")"), d.reads(t)-before
		if int(n) > want || int(n) < want-want/100 {
			return n, fmt.Errorf("%v, not %d", n, want)
		}
		return n, nil
	})
	for _, q := range []float64{0.5, 0.99} {
		p := number(fmt.Sprintf("histogram_quantile(%v, %s) / 1e6", q, series))
		low, high := d.quantile(q)/growth, did.quantile(q)*growth*precision
		t.Logf("quantile %v of %d reads: %.4f s; of the disk's own time %.4f s; of fio's %.4f s", q, did.IOs, p, d.quantile(q), did.quantile(q))
		if !(low <= p && p <= high) {
			t.Errorf("the quantile %v of the latency is %v s, not from %v to %v", q, p, low, high)
		}
	}
}

// readable checks the texts for humans: they must say which disk it is and how long it takes, in
// fitting units.
func readable(t *testing.T, page notified, disk *slowDisk, did fioReads) {
	t.Helper()
	for _, name := range []string{"summary", "description", "runbook"} {
		text := page.Annotations[name]
		t.Logf("%s: %s", name, text)
		for _, bad := range []string{"{{", "}}", "NaN", "<no value>", "error"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s contains %q", name, bad)
			}
		}
		if text == "" || name != "runbook" && !(strings.Contains(text, disk.name) && strings.Contains(text, page.Labels["instance"])) {
			t.Errorf("%s does not say where: %q", name, text)
		}
	}
	// The quantile over 5 minutes lies between the fastest and the slowest I/O, within the width of
	// a bucket.
	const growth = 1.0905
	told := math.NaN()
	if found := regexp.MustCompile(`\b[0-9.]+(ns|us|ms|s)\b`).FindString(page.Annotations["description"]); found != "" {
		took, err := time.ParseDuration(found)
		if err != nil {
			t.Fatal(err)
		}
		told = took.Seconds()
	}
	if low, high := disk.quantile(0)/growth, did.Completion.Max/1e9*growth; !(low <= told && told <= high) {
		t.Errorf("the description says %v s, not from %v to %v", told, low, high)
	}
}
