// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// naps lets a thread of its own take so many turns on a CPU and returns its
// folder. The thread lives until the test ends.
func naps(t *testing.T, n int) string {
	t.Helper()
	folder, stop := make(chan string), make(chan struct{})
	var threads Threads
	threads.Go(t, -1, func() {
		for range n {
			nap := unix.NsecToTimespec(time.Millisecond.Nanoseconds())
			_ = unix.Nanosleep(&nap, nil)
		}
		folder <- fmt.Sprintf("/proc/%d/task/%d", unix.Getpid(), unix.Gettid())
		<-stop
	})
	t.Cleanup(func() { close(stop); threads.Wait() })
	return <-folder
}

// TestNothingOfOursIsHidden checks that what runs in plain sight is not hidden.
func TestNothingOfOursIsHidden(t *testing.T) {
	w := WatchHidden(t)
	naps(t, 10)
	if h := w.Hidden(); len(h.tasks) > 0 {
		t.Log(h)
		for _, name := range h.tasks {
			if name == "kerneltest.test" {
				t.Errorf("this process is hidden: %v", h)
			}
		}
	}
}

// TestUnseenIsHidden checks that what no program has seen is hidden, unless it
// may be about to be seen.
func TestUnseenIsHidden(t *testing.T) {
	Open(t)
	nobody, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	w := &Watch{t, nobody, turnsOfAll(t)}
	folder := naps(t, 10)
	Until(t, "the thread waits", func() error {
		if running(folder) {
			return fmt.Errorf("%s runs", folder)
		}
		return nil
	})
	h := w.Hidden()
	if h.Stints < 10 {
		t.Errorf("%v", h)
	}
	for _, tt := range []struct {
		of   int
		last bool
		want int
	}{{1 << 40, false, 3 * int(h.Stints)}, {1 << 40, true, 3 * int(h.Stints)}, {20, false, 20}, {20, true, 5}, {3, true, 0}} {
		if got := h.Events(tt.of, 3, tt.last); got != tt.want {
			t.Errorf("%d of %d events, last %v: want %d", got, tt.of, tt.last, tt.want)
		}
	}
}
