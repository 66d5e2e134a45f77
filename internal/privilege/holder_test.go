// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// expectThreads checks every thread's sets, and that the effective one of no
// thread differs but, at a moment in Do, that of the thread itself.
func expectThreads(t *testing.T, r report, name, permitted, effective, during, bounding string) moment {
	t.Helper()
	m, ok := r.Moments[name]
	if !ok {
		t.Fatalf("%s: never came", name)
	}
	if len(m.Threads) < 2 {
		t.Errorf("%s: %d threads, which proves little", name, len(m.Threads))
	}
	for tid, status := range m.Threads {
		want := effective
		if tid == m.Thread && during != "" {
			want = during
		}
		if status["CapPrm"] != permitted || status["CapEff"] != want {
			t.Errorf("%s: thread %d of %d has %v, want %s permitted, %s effective", name, tid, len(m.Threads), status, permitted, want)
		}
		if status["CapBnd"] != bounding || status["CapInh"] != mask() || status["CapAmb"] != mask() || status["NoNewPrivs"] != "1" {
			t.Errorf("%s: thread %d has %v, want the bounding set %s", name, tid, status, bounding)
		}
	}
	if during != "" && m.Thread == m.Main {
		t.Errorf("%s: the main thread was raised", name)
	}
	return m
}

// users are those who hold: root, who can shrink the bounding set, and a
// service's user with ambient capabilities, who cannot.
func users(t *testing.T, ambient ...cap.Value) map[string]struct {
	attr     *syscall.SysProcAttr
	bounding string
} {
	return map[string]struct {
		attr     *syscall.SysProcAttr
		bounding string
	}{
		"root":    {nil, mask()},
		"service": {nobody(ambient...), ownBounding(t)},
	}
}

func TestHold(t *testing.T) {
	needBPF(t)
	both, one := mask(cap.BPF, cap.PERFMON), mask(cap.BPF)
	for user, u := range users(t, cap.BPF, cap.PERFMON) {
		t.Run(user, func(t *testing.T) {
			r := run(t, "hold two", u.attr)
			expectThreads(t, r, "dropped", both, mask(), "", u.bounding)
			for ending, want := range map[string]string{
				"return": "",
				"error":  "unexpected EOF",
				"panic":  "io: read/write on closed pipe\n\n",
				"exit":   "its goroutine ended",
				"lock":   "",
			} {
				expectThreads(t, r, "during "+ending, both, mask(), one, u.bounding)
				m := expectThreads(t, r, "after "+ending, both, mask(), "", u.bounding)
				if m.Err != want && (ending != "panic" || !strings.HasPrefix(m.Err, want) || !strings.Contains(m.Err, "everyEnding")) {
					t.Errorf("%s: %q, want %q", ending, m.Err, want)
				}
			}
			want := []Held{{"cap_bpf", "what it is for"}, {"cap_perfmon", "what it is for"}}
			if !slices.Equal(r.Held, want) || r.Denied != nil || r.Kept != nil {
				t.Errorf("held %v, denied %v, kept %v", r.Held, r.Denied, r.Kept)
			}
		})
	}
}

func TestHoldNamesEveryReasonOnce(t *testing.T) {
	r := run(t, "hold for two", nil)
	want := []Held{{"cap_bpf", "what it is for"}, {"cap_bpf", "another reason"}}
	if !slices.Equal(r.Held, want) {
		t.Errorf("held %v", r.Held)
	}
	expectThreads(t, r, "dropped", mask(cap.BPF), mask(), "", mask())
}

func TestHoldBesideKept(t *testing.T) {
	r := run(t, "hold and keep", nil)
	kill, both := mask(cap.KILL), mask(cap.KILL, cap.BPF)
	expectThreads(t, r, "dropped", both, kill, "", kill)
	expectThreads(t, r, "during error", both, kill, both, kill)
	expectThreads(t, r, "after error", both, kill, "", kill)
}

func TestNothingIsHeldWhereKeptServes(t *testing.T) {
	admin := mask(cap.SYS_ADMIN)
	r := run(t, "hold what is kept", nil)
	expectThreads(t, r, "during", admin, admin, "", admin)
	if r.Held != nil || r.Denied != nil {
		t.Errorf("held %v, denied %v", r.Held, r.Denied)
	}
	one := mask(cap.BPF)
	r = run(t, "hold what works needs", nil)
	expectThreads(t, r, "during", one, one, "", one)
	if r.Held != nil || len(r.Kept) != 1 {
		t.Errorf("held %v, kept %v", r.Held, r.Kept)
	}
}

func TestForbidden(t *testing.T) {
	r := run(t, "hold forbidden", nil)
	for _, name := range []string{"dropped", "during", "after"} {
		expectThreads(t, r, name, mask(), mask(), "", mask())
	}
	if len(r.Denied) != 1 || r.Denied[0].String() != "cap_bpf (what it is for): the flag forbids holding it: what it costs" || r.Held != nil {
		t.Errorf("held %v, denied %v", r.Held, r.Denied)
	}
	if got, want := r.Moments["after"].Err, "operation not permitted (without cap_net_admin: this process did not hold it back; "+
		"cap_syslog: this process did not hold it back; cap_bpf: the flag forbids holding it)"; got != want {
		t.Errorf("a refusal reads %q, want %q", got, want)
	}
}

func TestWhatCannotBeHeldIsNamed(t *testing.T) {
	needBPF(t)
	one := mask(cap.BPF)
	r := run(t, "hold one of two", nobody(cap.BPF))
	expectThreads(t, r, "dropped", one, mask(), "", ownBounding(t))
	expectThreads(t, r, "during", one, mask(), one, ownBounding(t))
	if len(r.Held) != 1 || len(r.Denied) != 1 || !strings.Contains(r.Denied[0].String(), "cap_net_admin (what it is for): this process does not have it") {
		t.Errorf("held %v, denied %v", r.Held, r.Denied)
	}
	if got := r.Moments["after"].Err; !strings.Contains(got, "cap_net_admin: this process does not have it") || strings.Contains(got, "cap_bpf") {
		t.Errorf("a refusal reads %q", got)
	}
	if got := r.Moments["another error"].Err; got != "EOF" {
		t.Errorf("another error reads %q", got)
	}
	if _, ran := r.Moments["during nonsense"]; ran || !strings.Contains(r.Moments["nonsense"].Err, `unknown capability "nonsense"`) {
		t.Errorf("an unknown name: ran %v, %q", ran, r.Moments["nonsense"].Err)
	}

	// A container may give CAP_SYS_ADMIN alone.
	r = run(t, "hold two", nobody(cap.SYS_ADMIN))
	admin := mask(cap.SYS_ADMIN)
	expectThreads(t, r, "dropped", admin, mask(), "", ownBounding(t))
	expectThreads(t, r, "during return", admin, mask(), admin, ownBounding(t))
	if want := (Held{"cap_sys_admin", "what it is for"}); !slices.Equal(r.Held, []Held{want}) {
		t.Errorf("held %v", r.Held)
	}

	// A user without any.
	r = run(t, "hold two", nobody())
	expectThreads(t, r, "during return", mask(), mask(), "", ownBounding(t))
	if len(r.Denied) != 2 || r.Held != nil {
		t.Errorf("held %v, denied %v", r.Held, r.Denied)
	}
}

func TestHoldRefusesUnknownNames(t *testing.T) {
	r := run(t, "hold unknown", nil)
	m := r.Moments["dropped"]
	if !strings.Contains(m.Err, `holding "cap_foo" (what it is for): unknown capability`) {
		t.Errorf("%q", m.Err)
	}
	if s := m.Threads[m.Main]; s["NoNewPrivs"] != "0" || s["CapEff"] == mask() {
		t.Errorf("the process changed to %v", s)
	}
}

func TestWorksMayRaise(t *testing.T) {
	r := run(t, "hold in works", nil)
	m := r.Moments["during"]
	for tid, status := range m.Threads {
		want := mask()
		if tid == m.Thread {
			want = mask(cap.BPF)
		}
		if status["CapEff"] != want {
			t.Errorf("thread %d has %v, want %s effective", tid, status, want)
		}
	}
	expectThreads(t, r, "dropped", mask(cap.BPF), mask(), "", mask())
	if r.Kept != nil || len(r.Held) != 1 {
		t.Errorf("kept %v, held %v", r.Kept, r.Held)
	}
}

// What a raised thread starts is not raised.
func TestNobodyInheritsTheMoment(t *testing.T) {
	one := mask(cap.BPF)
	r := run(t, "hold in threads", nil)
	if n := len(r.Moments["during"].Threads); n < 24 {
		t.Errorf("%d threads were started while one was raised, which proves little", n)
	}
	expectThreads(t, r, "during", one, mask(), one, mask())
	expectThreads(t, r, "after", one, mask(), "", mask())

	for user, u := range users(t, cap.BPF) {
		r = run(t, "hold in programs", u.attr)
		expectThreads(t, r, "after", one, mask(), "", u.bounding)
		if r.Program["CapEff"] != mask() || r.Program["CapPrm"] != mask() || r.Program["NoNewPrivs"] != "1" {
			t.Errorf("%s: a program that was started while raised has %v", user, r.Program)
		}
	}
}

func TestHangingFunctionStopsNoOther(t *testing.T) {
	r := run(t, "hold and hang", nil)
	effective := func(name string) (sets []string) {
		for _, status := range r.Moments[name].Threads {
			if status["CapEff"] != mask() {
				sets = append(sets, status["CapEff"])
			}
		}
		slices.Sort(sets)
		return sets
	}
	for name, want := range map[string][]string{
		"both": {mask(cap.PERFMON), mask(cap.BPF)},
		"one":  {mask(cap.PERFMON)},
		"none": nil,
	} {
		slices.Sort(want)
		if got := effective(name); !slices.Equal(got, want) {
			t.Errorf("%s: raised are %v, want %v", name, got, want)
		}
	}
}

func TestInnerCallHasWhatItAsksFor(t *testing.T) {
	r := run(t, "hold and nest", nil)
	both := mask(cap.BPF, cap.PERFMON)
	m := r.Moments["inner"]
	if got := m.Threads[m.Thread]["CapEff"]; got != both {
		t.Errorf("raised is %s, want %s", got, both)
	}
	expectThreads(t, r, "after", both, mask(), "", mask())
}

func TestThreadThatCannotBeLoweredEnds(t *testing.T) {
	r := run(t, "hold for ever", nil)
	one := mask(cap.BPF)
	expectThreads(t, r, "during", one, mask(), one, mask())
	m := expectThreads(t, r, "after", one, mask(), "", mask())
	if want := "lowering cap_bpf, so the thread is ended: operation not permitted"; m.Err != want {
		t.Errorf("%q, want %q", m.Err, want)
	}
	if m := expectThreads(t, r, "another", one, mask(), "", mask()); m.Err != "" {
		t.Errorf("a later call: %q", m.Err)
	}
}

// What holding is for, on the real kernel.
func TestProgramsLoadWhileRaised(t *testing.T) {
	needBPF(t)
	unprivileged := sysctl(t, "unprivileged_bpf_disabled")
	for user, u := range users(t, cap.BPF, cap.PERFMON) {
		r := run(t, "hold and load", u.attr)
		if err := r.Moments["with"].Err; err != "" {
			t.Errorf("%s, in Do: %s", user, err)
		}
		for _, name := range []string{"without", "without again", "with too little"} {
			// A program of raw tracepoints takes capabilities everywhere.
			want := "operation not permitted"
			if unprivileged != 0 {
				want = "map create: operation not permitted"
			}
			if err := r.Moments[name].Err; !strings.Contains(err, want) {
				t.Errorf("%s, %s: %q, want %q (unprivileged_bpf_disabled is %d)", user, name, err, want, unprivileged)
			}
		}
	}
}

// Up to level 2 the kernel asks for CAP_PERFMON. Debian's and Ubuntu's kernels
// ask for CAP_SYS_ADMIN above.
func TestPerfEventsOpenWhileRaised(t *testing.T) {
	needBPF(t)
	paranoid := sysctl(t, "perf_event_paranoid")
	for user, u := range users(t, cap.PERFMON, cap.SYS_ADMIN) {
		r := run(t, "hold and count", u.attr)
		for name, want := range map[string]bool{"without": paranoid <= 0, "with one": paranoid <= 2, "with both": true} {
			if err := r.Moments[name].Err; (err == "") != want {
				t.Errorf("%s, %s (perf_event_paranoid is %d): %q", user, name, paranoid, err)
			}
		}
	}
}

// sysctl is the value of a number below /proc/sys/kernel.
func sysctl(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDoBeforeDropRunsPlainly(t *testing.T) {
	r := run(t, "hold nothing yet", nil)
	caller := r.Moments["caller"]
	for _, name := range []string{"nil", "zero"} {
		during := r.Moments["during "+name]
		if during.Thread != caller.Thread || during.Threads[during.Thread]["CapEff"] != caller.Threads[caller.Thread]["CapEff"] {
			t.Errorf("%s: another thread, or another set: %v", name, during.Threads[during.Thread])
		}
		if got := r.Moments[name].Err; got != io.EOF.Error() {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestIsNone(t *testing.T) {
	for text, want := range map[string]bool{"none": true, " None ": true, "": false, "all": false, "cap_bpf": false} {
		if IsNone(text) != want {
			t.Errorf("IsNone(%q) = %v", text, !want)
		}
	}
}
