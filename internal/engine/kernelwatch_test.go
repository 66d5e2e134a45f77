// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what should happen soon, on a machine
// that is twenty times slower.
const patience = 60 * time.Second

// until waits until something is so, and returns how long that took.
func until(t *testing.T, what string, is func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !is() {
		if time.Since(begin) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// inKernel counts the objects of BPF that the kernel has, and the open
// descriptors of a process.
type inKernel struct{ programs, links, maps, descriptors int }

func count(t *testing.T, pid int) (n inKernel) {
	t.Helper()
	for id, err := ebpf.ProgramGetNextID(0); ; id, err = ebpf.ProgramGetNextID(id) {
		if ended(t, err) {
			break
		}
		n.programs++
	}
	for id, err := ebpf.MapGetNextID(0); ; id, err = ebpf.MapGetNextID(id) {
		if ended(t, err) {
			break
		}
		n.maps++
	}
	for links := new(link.Iterator); links.Next(); {
		n.links++
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	n.descriptors = len(fds)
	return n
}

// ended reports whether a list of objects of the kernel's has ended.
func ended(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err != nil
}

// settlesAt fails the test unless the kernel soon has just so many objects; it
// frees them some time after their last use.
func settlesAt(t *testing.T, pid int, want inKernel) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got := count(t, pid)
		if got == want {
			return
		}
		if time.Since(begin) > patience {
			t.Errorf("in the kernel: %+v, want %+v", got, want)
			return
		}
	}
}

// watchKernel fails the test at its end if the kernel wrote a warning, or
// worse, or became tainted meanwhile.
func watchKernel(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Seek(int(log.Fd()), 0, unix.SEEK_END); err != nil {
		t.Fatal(err)
	}
	before := taint(t)
	t.Cleanup(func() {
		defer log.Close()
		record := make([]byte, 8192)
		for {
			n, err := unix.Read(int(log.Fd()), record)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				t.Errorf("reading the kernel's log: %v", err)
				break
			}
			head, text, _ := strings.Cut(string(record[:n]), ";")
			first, _, _ := strings.Cut(head, ",")
			level, err := strconv.Atoi(first)
			if err != nil {
				t.Errorf("in the kernel's log: %q", record[:n])
			} else if level%8 <= 4 && !strings.HasPrefix(text, "hrtimer: interrupt took") { // an emulated clock
				t.Errorf("the kernel says, at level %d: %s", level%8, text)
			}
		}
		if after := taint(t); after != before {
			t.Errorf("the kernel is tainted: %s, before %s", after, before)
		}
	})
}

func taint(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/tainted")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
