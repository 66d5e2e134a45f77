// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// mask is how /proc/PID/status writes a set of capabilities.
func mask(values ...cap.Value) string {
	var bits uint64
	for _, v := range values {
		bits |= 1 << v
	}
	return fmt.Sprintf("%016x", bits)
}

// expectEverywhere checks the sets of every thread and of a program started
// afterwards.
func expectEverywhere(t *testing.T, r report, held, bounding string) {
	t.Helper()
	if r.Err != "" {
		t.Fatal(r.Err)
	}
	want := map[string]string{
		"CapInh": mask(), "CapPrm": held, "CapEff": held, "CapBnd": bounding, "CapAmb": mask(), "NoNewPrivs": "1",
	}
	if len(r.Threads) < 5 {
		t.Errorf("%d threads, which proves little", len(r.Threads))
	}
	for _, thread := range r.Threads {
		if !maps.Equal(thread, want) {
			t.Errorf("a thread has %v, want %v", thread, want)
		}
	}
}

func TestDropAll(t *testing.T) {
	r := run(t, "drop all", nil)
	if !slices.Contains(r.Before, "cap_setpcap") {
		t.Fatalf("the child started with %v", r.Before)
	}
	expectEverywhere(t, r, mask(), mask())
	if r.Kept != nil || r.After != nil || r.Calls != 1 {
		t.Errorf("kept %v, after %v, %d calls of works", r.Kept, r.After, r.Calls)
	}
	// Root gains every capability when it starts a program. Not here.
	if r.Program["CapEff"] != mask() || r.Program["CapPrm"] != mask() || r.Program["NoNewPrivs"] != "1" {
		t.Errorf("a program started afterwards has %v", r.Program)
	}
}

func TestDropKeepsWhatIsAskedFor(t *testing.T) {
	r := run(t, "keep two", nil)
	two := mask(cap.KILL, cap.NET_BIND_SERVICE)
	expectEverywhere(t, r, two, two)
	if want := []string{"cap_kill", "cap_net_bind_service"}; !slices.Equal(r.After, want) {
		t.Errorf("effective() = %v, want %v", r.After, want)
	}
	if len(r.Kept) != 2 || r.Kept[0] != (Kept{"cap_kill", "asked for"}) {
		t.Errorf("Drop reports %v", r.Kept)
	}
}

func TestDropWithoutRoot(t *testing.T) {
	needBPF(t)
	r := run(t, "drop all", nobody(cap.PERFMON, cap.BPF))
	if want := []string{"cap_perfmon", "cap_bpf"}; !slices.Equal(r.Before, want) {
		t.Errorf("effective() = %v before, want %v", r.Before, want)
	}
	// Nobody can shrink the bounding set without CAP_SETPCAP.
	expectEverywhere(t, r, mask(), ownBounding(t))
}

func TestDropRefusesWhatIsNotHeld(t *testing.T) {
	needBPF(t)
	held := []string{"cap_perfmon", "cap_bpf"}
	for scenario, want := range map[string][]string{
		"keep unheld":  {"keeping cap_net_admin", "it has cap_perfmon, cap_bpf"},
		"keep unknown": {`unknown capability "cap_foo", "bar"`},
	} {
		r := run(t, scenario, nobody(cap.PERFMON, cap.BPF))
		for _, part := range want {
			if !strings.Contains(r.Err, part) {
				t.Errorf("%s: error %q does not say %q", scenario, r.Err, part)
			}
		}
		if !slices.Equal(r.After, held) || r.Calls != 0 || r.Threads[0]["NoNewPrivs"] != "0" {
			t.Errorf("%s: the process changed to %v", scenario, r.Threads[0])
		}
	}
}

func TestDropKeepsWhatTheKernelWants(t *testing.T) {
	needBPF(t)
	r := run(t, "needs bpf", nobody(cap.PERFMON, cap.BPF))
	expectEverywhere(t, r, mask(cap.BPF), ownBounding(t))
	if len(r.Kept) != 1 || r.Kept[0].Name != "cap_bpf" || !strings.Contains(r.Kept[0].String(), "BPF maps") {
		t.Errorf("Drop reports %v", r.Kept)
	}

	r = run(t, "needs sys_admin", nil)
	expectEverywhere(t, r, mask(cap.SYS_ADMIN), mask(cap.SYS_ADMIN))

	// What is asked for anyway is not tried a second time.
	r = run(t, "needs a second", nil)
	expectEverywhere(t, r, mask(cap.SYS_ADMIN, cap.BPF), mask(cap.SYS_ADMIN, cap.BPF))
	if r.Calls != 2 || len(r.Kept) != 2 || r.Kept[1].Name != "cap_sys_admin" {
		t.Errorf("Drop reports %v after %d calls", r.Kept, r.Calls)
	}

	r = run(t, "needs sys_admin", nobody(cap.BPF))
	if !strings.Contains(r.Err, "working with the capabilities cap_bpf: lookup: operation not permitted") {
		t.Errorf("with nothing left to try: %q", r.Err)
	}
}

func TestDropReportsOtherErrors(t *testing.T) {
	r := run(t, "broken", nil)
	if !strings.Contains(r.Err, "input/output error") || r.Calls != 1 {
		t.Errorf("%q after %d calls", r.Err, r.Calls)
	}
}

// The kernel decides: with the capability where it must be, without where it
// need not, and readable in both cases.
func TestMapIsReadableAfterDrop(t *testing.T) {
	needBPF(t)
	plain := run(t, "read plainly", nil)
	r := run(t, "read a map", nil)
	want := mask()
	if plain.ReadAfter != "" {
		want = mask(cap.BPF)
	}
	expectEverywhere(t, r, want, want)
	if (len(r.Kept) == 0) != (plain.ReadAfter == "") {
		t.Errorf("kept %v, but a process without capabilities gets %q", r.Kept, plain.ReadAfter)
	}
	if r.ReadAfter != "" {
		t.Errorf("reading after Drop: %v", r.ReadAfter)
	}
	t.Logf("kept: %v", r.Kept)
}

// ownBounding is the bounding set of the test, which its children inherit.
func ownBounding(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	return privileges(status)["CapBnd"]
}
