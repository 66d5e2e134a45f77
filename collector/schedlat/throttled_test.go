// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// quota is a cgroup whose tasks may use a fifth of a CPU: 20 ms of each 100 ms.
type quota struct {
	t      testing.TB
	folder string
	v2     bool
}

func newQuota(t testing.TB) *quota {
	t.Helper()
	q := &quota{t: t, folder: "/sys/fs/cgroup/cpu", v2: false}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		q.folder, q.v2 = "/sys/fs/cgroup", true
		q.write("cgroup.subtree_control", "+cpu")
	}
	q.folder = filepath.Join(q.folder, fmt.Sprintf("schedlat-%d", os.Getpid()))
	if err := os.Mkdir(q.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kerneltest.Until(t, "the cgroup is empty", func() error { return os.Remove(q.folder) })
	})
	if q.v2 {
		q.write("cpu.max", "20000 100000")
	} else {
		q.write("cpu.cfs_period_us", "100000")
		q.write("cpu.cfs_quota_us", "20000")
	}
	return q
}

func (q *quota) write(file, text string) {
	q.t.Helper()
	if err := os.WriteFile(filepath.Join(q.folder, file), []byte(text), 0); err != nil {
		q.t.Fatal(err)
	}
}

// throttled is how often the kernel says it has throttled the cgroup, and for how
// long.
func (q *quota) throttled() (periods uint64, lasted time.Duration) {
	q.t.Helper()
	text, err := os.ReadFile(filepath.Join(q.folder, "cpu.stat"))
	if err != nil {
		q.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			q.t.Fatal(err)
		}
		switch name {
		case "nr_throttled":
			periods = n
		case "throttled_usec":
			lasted = time.Duration(n) * time.Microsecond
		case "throttled_time": // of cgroup v1
			lasted = time.Duration(n)
		}
	}
	return periods, lasted
}

// spin starts a process in the cgroup that never waits for anything but its CPU.
func (q *quota) spin(cpu int) *exec.Cmd {
	q.t.Helper()
	kerneltest.Tool(q.t, "sh")
	cmd := exec.Command("sh", "-c", "read go; while :; do :; done")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		q.t.Fatal(err)
	}
	q.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(cmd.Process.Pid, &one); err != nil {
		q.t.Fatal(err)
	}
	q.write("cgroup.procs", strconv.Itoa(cmd.Process.Pid))
	if _, err := stdin.Write([]byte("\n")); err != nil {
		q.t.Fatal(err)
	}
	return cmd
}

// A task of a cgroup that uses up its quota time after time waits for the next
// period, not for a CPU: as often as the kernel throttles the cgroup, and as long.
func TestThrottledTask(t *testing.T) {
	const periods = 12
	kerneltest.Conclusive(t, attempts(), func(a *kerneltest.Attempt) {
		running := variants(a)
		q := newQuota(a)
		before := make(map[string]waited)
		for program, e := range running.engines {
			before[program] = of(kerneltest.Read(a, e), throttled)
		}
		process := q.spin(0)
		kerneltest.Until(a, "the cgroup is throttled often", func() error {
			if n, _ := q.throttled(); n < periods {
				return errors.New("not yet")
			}
			return nil
		})
		// It leaves its CPU for good, once it has one.
		if err := process.Process.Kill(); err != nil {
			a.Fatal(err)
		}
		_ = process.Wait()
		often, long := q.throttled()
		for program, e := range running.engines {
			got := of(kerneltest.Read(a, e), throttled).minus(before[program])
			waits := time.Duration(got.ns)
			a.Logf("%s: %d waits of %v in all; throttled %d times for %v", program, got.stints, waits, often, long)
			truth := kerneltest.Truth[uint64]{
				Least: often - 1, Most: often + 1,
				Why: "The kernel counts at the end of a period, and the task may have died before.",
			}
			if program == running.taken() {
				kerneltest.Accuracy(a, kerneltest.Row{
					Metric: throttled, Workload: "a task that uses up the quota of its cgroup: number of waits", Source: "nr_throttled of cpu.stat",
				}, got.stints, truth)
			} else {
				kerneltest.Check(a, program, got.stints, truth)
			}
			// The last may have been cut short. The cgroup is throttled before its
			// task has left the CPU, by less than a tick of the slowest clock.
			if least := long - long/time.Duration(often) - time.Duration(often)*10*time.Millisecond; waits < least {
				a.Errorf("%s: the waits are %v, the cgroup was throttled for %v", program, waits, long)
			}
		}
	})
}
