// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// disk is a block device under test.
type disk struct{ name string }

func (d disk) path() string { return "/dev/" + d.name }

// sysfs is where the kernel describes the device.
func (d disk) sysfs(file string) string { return filepath.Join("/sys/block", d.name, file) }

// tally is what was counted of one operation. The ns are exact in our numbers
// and whole milliseconds in the kernel's.
type tally struct{ ios, bytes, ns, errors, untimed, retries uint64 }

// counts are the tallies of a disk by operation.
type counts map[string]tally

// operations are those that the kernel's own statistics tell apart.
var operations = []string{"read", "write", "discard", "flush"}

// kernelCounts is the kernel's own account of the disk, as in /proc/diskstats.
// It is taken again until nothing is under way and nothing moves: the kernel
// wakes who waits for an I/O before it accounts for it.
func (d disk) kernelCounts(t testing.TB) counts {
	t.Helper()
	var last string
	kerneltest.Until(t, d.name+" comes to rest", func() error {
		now := read(t, d.sysfs("stat"))
		if now == last && strings.Fields(now)[8] == "0" {
			return nil
		}
		last = now
		return errors.New(now)
	})
	return parseStat(t, strings.Fields(last))
}

// parseStat reads the fields of Documentation/block/stat.rst.
func parseStat(t testing.TB, field []string) counts {
	t.Helper()
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(field[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := func(i int) tally {
		return tally{ios: number(i), bytes: 512 * number(i+2), ns: 1e6 * number(i+3)}
	}
	return counts{
		"read": at(0), "write": at(4), "discard": at(11),
		"flush": {ios: number(15), ns: 1e6 * number(16)},
	}
}

// set gives one of the disk's attributes in sysfs a value until the test ends.
// Loop devices keep theirs when they are detached, so each test says what it
// relies on.
func (d disk) set(t testing.TB, attribute, value string) {
	t.Helper()
	path := d.sysfs(attribute)
	old := read(t, path)
	// A choice reads "none [mq-deadline] bfq".
	if _, after, ok := strings.Cut(old, "["); ok {
		old, _, _ = strings.Cut(after, "]")
	}
	if old == value {
		return
	}
	write(t, path, value)
	t.Cleanup(func() { write(t, path, old) })
}

// loop makes a disk of so many bytes that are kept in memory: in the returned
// file, so that no other disk takes part.
func loop(t testing.TB, size int64) (disk, *os.File) {
	t.Helper()
	device, backing := kerneltest.MemoryDisk(t, size)
	d := disk{filepath.Base(device.Name())}
	d.set(t, "queue/iostats", "1")
	d.set(t, "queue/nomerges", "0")
	d.set(t, "queue/max_sectors_kb", read(t, d.sysfs("queue/max_hw_sectors_kb")))
	return d, backing
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func write(t testing.TB, path, value string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatalf("writing %q: %v", value, err)
	}
}
