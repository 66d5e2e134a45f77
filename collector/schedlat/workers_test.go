// SPDX-License-Identifier: Apache-2.0

package schedlat

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// workers are threads that do a job in rounds and sleep between them.
type workers struct {
	threads kerneltest.Threads
	rounds  []chan time.Duration
	done    chan struct{}
	mu      sync.Mutex
	tids    []int
}

const spinners = 4 // on each CPU

// startWorkers makes on each of the CPUs threads that keep it busy, and two that
// wake each other by pipes.
func startWorkers(t testing.TB, cpus []int) *workers {
	t.Helper()
	w := &workers{done: make(chan struct{})}
	// All compete for the CPUs, not for Go's permission to run.
	permitted := runtime.GOMAXPROCS((spinners+2)*len(cpus) + 2)
	t.Cleanup(func() { runtime.GOMAXPROCS(permitted) })
	for _, cpu := range cpus {
		for range spinners {
			w.start(t, cpu, func(d time.Duration) {
				for begin := time.Now(); time.Since(begin) < d; {
				}
			})
		}
		var ping, pong [2]int
		for _, p := range []*[2]int{&ping, &pong} {
			if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
				t.Fatal("making a pipe:", err)
			}
			t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
		}
		const over = 'x' // ends a round
		w.start(t, cpu, func(d time.Duration) {
			ball := []byte{'.'}
			for begin := time.Now(); ball[0] != over; {
				if time.Since(begin) >= d {
					ball[0] = over
				}
				unix.Write(ping[1], ball)
				unix.Read(pong[0], ball)
			}
		})
		w.start(t, cpu, func(time.Duration) {
			for ball := []byte{'.'}; ball[0] != over; {
				unix.Read(ping[0], ball)
				unix.Write(pong[1], ball)
			}
		})
	}
	t.Cleanup(w.end)
	return w
}

func (w *workers) start(t testing.TB, cpu int, job func(time.Duration)) {
	round := make(chan time.Duration)
	w.rounds = append(w.rounds, round)
	ready := make(chan struct{})
	w.threads.Go(t, cpu, func() {
		w.mu.Lock()
		w.tids = append(w.tids, unix.Gettid())
		w.mu.Unlock()
		close(ready)
		for d := range round {
			job(d)
			w.done <- struct{}{}
		}
	})
	<-ready
}

// round does the job once, for so long, in all threads.
func (w *workers) round(d time.Duration) {
	for _, r := range w.rounds {
		r <- d
	}
	for range w.rounds {
		<-w.done
	}
}

// ids are the threads.
func (w *workers) ids() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int(nil), w.tids...)
}

// end lets the threads end.
func (w *workers) end() {
	for _, r := range w.rounds {
		close(r)
	}
	w.rounds = nil
	w.threads.Wait()
}
