// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/engine/enginetest"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

// call makes so many calls that the test's collector counts, with an argument.
func call(n int, argument time.Duration) {
	for range n {
		unix.RawSyscall(unix.SYS_GETPPID, uintptr(argument), 0, 0)
	}
}

// counting runs the test's collector for calls of this process.
func counting(t *testing.T, cfg engine.Config) *engine.Engine {
	t.Helper()
	cfg.Options = map[string]collector.Value{"enginetest.process": os.Getpid()}
	e := engine.New(cfg)
	t.Cleanup(e.Close)
	if s := e.States()[0]; s.Status != engine.Running {
		t.Fatalf("state %+v", s)
	}
	return e
}

// expect fails the test unless the collector has counted so many calls, and
// lost so many for being small.
func expect(t *testing.T, e *engine.Engine, when string, calls, small float64) {
	t.Helper()
	numbers := kerneltest.Read(t, e)
	if got := numbers.Value(enginetest.Calls); got != calls {
		t.Errorf("%s: %v calls, want %v", when, got, calls)
	}
	if got := numbers.Value("kernscope_lost_events_total", "collector=enginetest", "reason=small"); got != small {
		t.Errorf("%s: %v lost, want %v", when, got, small)
	}
}

// TestStopAndStart checks that counts survive that a collector is stopped, that
// what happens meanwhile is not counted, and that the collector says how it
// fares.
func TestStopAndStart(t *testing.T) {
	e := counting(t, config(t, enginetest.Spec()))
	call(101, 0)
	expect(t, e, "running", 101, 0)
	if err := e.Stop(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	call(1009, 0)
	numbers := kerneltest.Read(t, e)
	if s := e.States()[0]; s.Status != engine.Stopped || !s.Status.Well() {
		t.Errorf("state %+v", s)
	}
	if numbers.Value("kernscope_collector_info", "collector=enginetest", "status=stopped", "reason=switched off") != 1 {
		t.Error("no metric says that it is stopped")
	}
	if _, served := numbers[enginetest.Calls+"{}"]; served {
		t.Error("it is served while it is stopped")
	}
	if err := e.Start(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	call(11, 0)
	expect(t, e, "started again", 101+11, 0)
	if err := e.Start(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "there are enginetest") {
		t.Errorf("error %v, want one that names the collectors", err)
	}
}

// TestSetOption checks that a live option changes under what is attached, which
// misses nothing, that another attaches anew and keeps the counts, and that a
// wrong one changes nothing.
func TestSetOption(t *testing.T) {
	e := counting(t, config(t, enginetest.Spec()))
	call(101, 0)
	set := func(option string, value collector.Value, want string) {
		t.Helper()
		err := e.Set(t.Context(), "enginetest", option, value)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s=%v: error %v, want %q", option, value, err, want)
		}
	}
	set("least", 5*time.Millisecond, "")
	call(1009, 5*time.Millisecond-1)
	call(11, 5*time.Millisecond)
	expect(t, e, "least 5ms", 101+11, 1009)
	if got := kerneltest.Read(t, e).Value(enginetest.Latest + "_microseconds"); got != 5000 {
		t.Errorf("the latest was %v µs, want 5000", got)
	}
	set("process", 0, "")
	call(13, time.Second)
	expect(t, e, "no process", 101+11, 1009)
	set("process", os.Getpid(), "")
	call(17, time.Second)
	call(19, 0)
	expect(t, e, "this process again, and still 5ms", 101+11+17, 1009+19)
	set("process", "all", "takes a int")
	set("process", 1<<40, "does not fit")
	set("nothing", 1, "no option")
	call(23, time.Second)
	expect(t, e, "after mistakes", 101+11+17+23, 1009+19)
	if err := e.Stop(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	set("least", time.Duration(0), "")
	set("process", 1<<40, "does not fit")
	if err := e.Start(t.Context(), "enginetest"); err != nil {
		t.Fatal(err)
	}
	call(29, 0)
	expect(t, e, "least 0 set while it was stopped", 101+11+17+23+29, 1009+19)
}

// TestWayThatFailsGivesWay checks that a hook takes its next way if its best
// ones cannot be loaded or attached, which is known only when it is tried.
func TestWayThatFailsGivesWay(t *testing.T) {
	for _, tt := range []struct {
		name     string
		programs []string
		optional bool
		taken    string
		reason   string
	}{
		{"attaching", []string{"enginetest_unattachable", "enginetest_exit"}, false, "enginetest_exit", "no-such-event"},
		{"loading", []string{"enginetest_untyped", "enginetest_exit"}, false, "enginetest_exit", "enginetest_untyped"},
		{"both", []string{"enginetest_untyped", "enginetest_unattachable", "enginetest_exit"}, false, "enginetest_exit", "no-such-event"},
		{"optional, attaching", []string{"enginetest_unattachable"}, true, "", "no-such-event"},
		{"optional, loading", []string{"enginetest_untyped"}, true, "", "enginetest_untyped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := counting(t, config(t, enginetest.WithExits(tt.optional, tt.programs...)))
			s := e.States()[0]
			hook := s.Hooks[len(s.Hooks)-1]
			if tt.taken == "" {
				if len(s.Absent) != 1 || s.Absent[0].Without != "exits are not counted" {
					t.Fatalf("absent are %+v", s.Absent)
				}
				hook = s.Absent[0]
			} else if hook.Programs[0] != tt.taken {
				t.Errorf("took %v, want %s", hook.Programs, tt.taken)
			}
			last := hook.Rejected[len(hook.Rejected)-1]
			if !strings.Contains(last.Reason, tt.reason) || strings.Contains(last.Reason, "\n") {
				t.Errorf("rejected %+v, want it to say %q in one line", hook.Rejected, tt.reason)
			}
			call(101, 0)
			expect(t, e, "running", 101, 0)
			numbers := kerneltest.Read(t, e)
			if _, served := numbers[enginetest.Exits+"{}"]; served != (tt.taken != "") {
				t.Errorf("exits are served: %v", served)
			}
			if got := numbers.Value(enginetest.Exits); (got > 0) != (tt.taken != "") {
				t.Errorf("%v exits", got)
			}
		})
	}
}

// TestLastWayThatFails checks that the first failure is the reason where no way
// is left, and that nothing stays.
func TestLastWayThatFails(t *testing.T) {
	cfg := config(t, enginetest.WithExits(false, "enginetest_unattachable"))
	engine.New(cfg).Close()
	before := descriptors(t)
	e := engine.New(cfg)
	defer e.Close()
	if s := e.States()[0]; s.Status != engine.Failed || !strings.Contains(s.Reason, "no-such-event") {
		t.Errorf("state %+v", s)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	// A metric of a hook that is not optional is a mistake in the Spec.
	s := enginetest.WithExits(false, "enginetest_exit")
	s.Hooks = s.Hooks[:1]
	e = engine.New(config(t, s))
	defer e.Close()
	if s := e.States()[0]; s.Status != engine.Failed || !strings.Contains(s.Reason, "no program in use fills map enginetest_exits") {
		t.Errorf("state %+v", s)
	}
}

// TestReadingTakesWhatIsHeld opens and reads a source with capabilities raised
// for that: what attaching raised is not in effect on the goroutine that opens.
func TestReadingTakesWhatIsHeld(t *testing.T) {
	var mu sync.Mutex
	var did []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		did = append(did, what)
	}
	spec := collector.Spec{
		Name: "asks", Help: "x",
		Needs: []collector.Need{
			{Why: "x", Capabilities: []string{"CAP_NET_ADMIN"}, Held: true},
			{Why: "x", Capabilities: []string{"CAP_SYSLOG"}},
		},
		Hooks: []collector.Hook{{Name: "source", Ways: []collector.Way{{Source: &collector.Source{
			From: "nowhere",
			Open: func(context.Context) (collector.Reader, error) {
				note("open")
				return collector.ReadFunc(func(context.Context) (map[string][]metric.Sample, error) {
					note("read")
					return nil, nil
				}), nil
			},
		}}}}},
	}
	cfg := config(t, spec)
	cfg.Privileged = func(names []string, f func() error) error {
		note("+" + strings.Join(names, "+"))
		defer note("-")
		return f()
	}
	e := engine.New(cfg)
	defer e.Close()
	kerneltest.Read(t, e)
	const all = "+CAP_BPF+CAP_PERFMON+CAP_NET_ADMIN+CAP_SYSLOG "
	if got := strings.Join(did, " "); got != all+all+"open - - +CAP_NET_ADMIN read -" {
		t.Errorf("it did %s", got)
	}
}

// appears is a source that is there from time to time.
type appears struct {
	there  atomic.Bool
	closed atomic.Int32
}

func (a *appears) open(context.Context) (collector.Reader, error) {
	if !a.there.Load() {
		return nil, fs.ErrNotExist
	}
	return a, nil
}

func (a *appears) Read(context.Context) (map[string][]metric.Sample, error) {
	if !a.there.Load() {
		return nil, fs.ErrNotExist
	}
	return map[string][]metric.Sample{"from_source_total": {{Value: 7}}}, nil
}

func (a *appears) Close() error {
	a.closed.Add(1)
	return nil
}

// TestCollectorWaitsForASource lets a file come, go and come again.
func TestCollectorWaitsForASource(t *testing.T) {
	var a appears
	spec := collector.Spec{
		Name: "waiter", Help: "x",
		Hooks: []collector.Hook{{Name: "source", Ways: []collector.Way{{Source: &collector.Source{
			From: "nowhere", Metrics: []string{"from_source_total"}, Open: a.open,
		}}}}},
		Metrics: []collector.Metric{{Name: "from_source_total", Help: "x", Kind: collector.Counter}},
	}
	e := engine.New(config(t, spec))
	defer e.Close()
	e.Follow()
	is := func(want engine.Status) {
		t.Helper()
		var s engine.State
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if s = e.States()[0]; s.Status == want {
				return
			}
		}
		t.Fatalf("state %+v, want %s", s, want)
	}
	is(engine.Waiting)
	for i := range int32(2) {
		a.there.Store(true)
		is(engine.Running)
		if n := kerneltest.Read(t, e).Value("from_source_total"); n != 7 {
			t.Errorf("read %v, want 7", n)
		}
		a.there.Store(false)
		kerneltest.Read(t, e)
		is(engine.Waiting)
		if n := a.closed.Load(); n != i+1 {
			t.Errorf("closed %d times, opened %d times", n, i+1)
		}
	}
	// Who looked for the file ends when the collector is stopped.
	if err := e.Stop(t.Context(), "waiter"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // longer than the file is not looked for
	if err := e.Start(t.Context(), "waiter"); err != nil {
		t.Fatal(err)
	}
	is(engine.Waiting)
	a.there.Store(true)
	is(engine.Running)
}

// TestOptionThatDoesNotWork switches on what cannot be attached or loaded here:
// the collector does what it does without, and says what is lost.
func TestOptionThatDoesNotWork(t *testing.T) {
	for _, program := range []string{"enginetest_unattachable", "enginetest_untyped"} {
		t.Run(program, func(t *testing.T) {
			spec := enginetest.WithExits(false, program)
			spec.Options = append(spec.Options, collector.Option{Name: "exits", Help: "Exits, too."})
			spec.Hooks[0].Unless = "exits"
			spec.Hooks[1].When = "exits"
			spec.Metrics[2].When = "exits"
			cfg := config(t, spec)
			cfg.Options = map[string]collector.Value{"enginetest.process": os.Getpid(), "enginetest.exits": true}
			log := logged(&cfg)
			e := engine.New(cfg)
			defer e.Close()
			s := e.States()[0]
			if s.Status != engine.Running || len(s.Absent) != 1 || !strings.Contains(s.Absent[0].Without, "option exits") || len(s.Absent[0].Rejected) == 0 {
				t.Fatalf("state %+v", s)
			}
			if n := log.count("Option does not work here"); n != 1 {
				t.Errorf("%d lines say so:\n%s", n, log.all())
			}
			call(101, 0)
			expect(t, e, "without the option", 101, 0)
			err := e.Set(t.Context(), "enginetest", "exits", true)
			if err == nil || !strings.Contains(err.Error(), "setting exits of enginetest") {
				t.Errorf("error %v of an option that does not work", err)
			}
			call(11, 0)
			expect(t, e, "after another attempt", 101+11, 0)
		})
	}
}
