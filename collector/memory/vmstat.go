// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// vmstatFile is where the kernel serves its counts since boot. They are kept
// per CPU, at no cost to us, and summed as the file is read.
const vmstatFile = "/proc/vmstat"

// vmstat are the counts of /proc/vmstat that we serve.
type vmstat struct {
	faults    uint64 // page faults of both kinds
	major     uint64 // those for which a page had to be fetched
	allocated uint64 // pages, of all zones
}

// readVmstat reads a file like /proc/vmstat.
func readVmstat(path string) (vmstat, error) {
	file, err := os.Open(path)
	if err != nil {
		return vmstat{}, err
	}
	defer file.Close()
	return parseVmstat(file)
}

// parseVmstat sums the lines "name count" that we know. That one is missing is
// an error: a kernel without CONFIG_VM_EVENT_COUNTERS has none of them.
func parseVmstat(text io.Reader) (vmstat, error) {
	var v vmstat
	seen := make(map[*uint64]bool)
	// The kernel sums over the CPUs at every call, which yields a page at most:
	// as much as a scanner asks for.
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		name, count, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		var sum *uint64
		switch {
		case string(name) == "pgfault":
			sum = &v.faults
		case string(name) == "pgmajfault":
			sum = &v.major
		case bytes.HasPrefix(name, []byte("pgalloc_")):
			sum = &v.allocated
		default:
			continue
		}
		n, err := strconv.ParseUint(string(count), 10, 64)
		if err != nil {
			return vmstat{}, fmt.Errorf("parsing %s: %w", name, err)
		}
		*sum += n
		seen[sum] = true
	}
	if err := lines.Err(); err != nil {
		return vmstat{}, err
	}
	if len(seen) < 3 {
		return vmstat{}, fmt.Errorf("no pgfault, pgmajfault or pgalloc: the kernel lacks CONFIG_VM_EVENT_COUNTERS")
	}
	return v, nil
}

// openTotals opens what is exact on every kernel.
func openTotals(context.Context) (collector.Reader, error) {
	return collector.ReadFunc(readTotals), nil
}

func readTotals(context.Context) (map[string][]metric.Sample, error) {
	v, err := readVmstat(vmstatFile)
	if err != nil {
		return nil, err
	}
	return map[string][]metric.Sample{
		majors:      {{Value: float64(v.major)}},
		allocations: {{Value: float64(v.allocated)}},
	}, nil
}

// minorFaults are the faults that are not major. A major fault is counted as
// major when its page is found missing, but as a fault when it is done: while
// many wait for a device the difference can go back by as many, which a
// counter must not.
type minorFaults struct {
	mu     sync.Mutex
	served uint64
}

func (m *minorFaults) advance(v vmstat) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served = max(m.served, v.faults-min(v.faults, v.major))
	return m.served
}

// openMinorFaults opens the count of minor faults.
func openMinorFaults(context.Context) (collector.Reader, error) {
	return collector.ReadFunc(new(minorFaults).read), nil
}

func (m *minorFaults) read(context.Context) (map[string][]metric.Sample, error) {
	v, err := readVmstat(vmstatFile)
	if err != nil {
		return nil, err
	}
	return map[string][]metric.Sample{minors: {{Value: float64(m.advance(v))}}}, nil
}
