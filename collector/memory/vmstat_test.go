// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"strings"
	"testing"
)

func TestParseVmstat(t *testing.T) {
	const text = `nr_free_pages 9
pgpgin 11
pgalloc_dma 1
pgalloc_dma32 20
pgalloc_normal 300
pgalloc_movable 0
pgalloc_device 4000
pgfault 18446744073709551615
pgmajfault 12
pgmajfault_s 99
nr_unstable 0
`
	got, err := parseVmstat(strings.NewReader(text))
	if want := (vmstat{faults: 1<<64 - 1, major: 12, allocated: 4321}); got != want || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for bad, complaint := range map[string]string{
		"pgfault 1\npgmajfault 2\n":              "CONFIG_VM_EVENT_COUNTERS",
		"pgfault 1\npgmajfault x\npgalloc_a 1\n": "parsing pgmajfault",
		"":                                       "CONFIG_VM_EVENT_COUNTERS",
	} {
		if _, err := parseVmstat(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%q: error %v, want %q", bad, err, complaint)
		}
	}
}

// TestMinorFaultsNeverGoBack checks that the count of minor faults never goes
// back, although major faults are counted as such before they are counted as
// faults.
func TestMinorFaultsNeverGoBack(t *testing.T) {
	var m minorFaults
	for _, step := range []struct {
		vmstat
		want uint64
	}{
		{vmstat{faults: 100, major: 10}, 90},
		{vmstat{faults: 101, major: 15}, 90}, // five wait
		{vmstat{faults: 106, major: 15}, 91}, // they are done
		{vmstat{faults: 1, major: 2}, 91},
	} {
		if got := m.advance(step.vmstat); got != step.want {
			t.Errorf("%+v: %d minor faults, want %d", step.vmstat, got, step.want)
		}
	}
}
