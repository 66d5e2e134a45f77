// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/pin"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

// pinned returns a configuration that pins in a directory.
func pinned(t *testing.T, dir string, specs ...collector.Spec) engine.Config {
	t.Helper()
	cfg := config(t, specs...)
	var err error
	if cfg.Pins, err = attach.OpenPins(dir); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// leave runs collectors, calls a function, pins them, and lets go of them.
func leave(t *testing.T, cfg engine.Config, during func(*engine.Engine)) {
	t.Helper()
	e := engine.New(cfg)
	defer e.Close()
	during(e)
	if err := e.Pin(); err != nil {
		t.Fatal(err)
	}
}

// reads reads so often by the name "pinned-reader".
func reads(t *testing.T, n int) {
	t.Helper()
	kerneltest.ReadAs(t, "pinned-reader", n)
}

// hasRead returns how often collector fileops says that this process did.
func hasRead(t *testing.T, e *engine.Engine) float64 {
	t.Helper()
	return kerneltest.Read(t, e).Value("ebpf_file_ops_total", "process=pinned-reader", "operation=read")
}

// adopted returns the names of the collectors that were adopted.
func adopted(e *engine.Engine) (names []string) {
	for _, s := range e.States() {
		if s.Status == engine.Running && s.Adopted {
			names = append(names, s.Collector)
		}
	}
	return names
}

// objects are the links and programs that are pinned below a directory.
type objects struct {
	links    []link.ID
	programs []ebpf.ProgramID
}

func below(t *testing.T, dir string) (found objects) {
	t.Helper()
	for p, err := range pin.WalkDir(dir, nil) {
		if err != nil {
			t.Fatal(err)
		}
		switch o := p.Object.(type) {
		case link.Link:
			info, err := o.Info()
			if err != nil {
				t.Fatal(err)
			}
			found.links = append(found.links, info.ID)
		case *ebpf.Program:
			info, err := o.Info()
			if err != nil {
				t.Fatal(err)
			}
			id, _ := info.ID()
			found.programs = append(found.programs, id)
		}
	}
	if len(found.links) == 0 || len(found.programs) == 0 {
		t.Fatalf("nothing is pinned in %s: the test shows nothing", dir)
	}
	return found
}

// areGone fails the test if some stay in the kernel, which frees them some time
// after the last reference is gone.
func (o objects) areGone(t *testing.T) {
	t.Helper()
	left := func() (n int) {
		for _, id := range o.links {
			if l, err := link.NewFromID(id); err == nil {
				l.Close()
				n++
			}
		}
		for _, id := range o.programs {
			if p, err := ebpf.NewProgramFromID(id); err == nil {
				p.Close()
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(30 * time.Second); left() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d links and programs stay in the kernel", left())
		}
	}
}

// TestPinnedCollectorGoesOnCounting reads files before, between and after two
// engines: all is counted, once.
func TestPinnedCollectorGoesOnCounting(t *testing.T) {
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	var began time.Time
	leave(t, pinned(t, dir, fileops.Spec()), func(e *engine.Engine) {
		if len(adopted(e)) > 0 {
			t.Error("adopted what nobody pinned")
		}
		reads(t, 101)
		began = created(t, e)
	})
	left := time.Now()
	reads(t, 1009)
	leave(t, pinned(t, dir, fileops.Spec()), func(e *engine.Engine) {
		if len(adopted(e)) != 1 {
			t.Fatal("not adopted")
		}
		if n := hasRead(t, e); n != 101+1009 {
			t.Errorf("%v reads, 1110 were made", n)
		}
		reads(t, 11)
	})
	e := engine.New(pinned(t, dir, fileops.Spec()))
	defer e.Close()
	if n := hasRead(t, e); n != 101+1009+11 {
		t.Errorf("%v reads, 1121 were made", n)
	}
	kerneltest.Read(t, e).Lost(t)
	// Each asks the boot clock and the wall clock one after the other.
	if again := created(t, e); again.Sub(began).Abs() > time.Minute || again.After(left) {
		t.Errorf("counting since %v, and by the next %v", began, again)
	}
}

// created returns when the counters of collector fileops were zero.
func created(t *testing.T, e *engine.Engine) time.Time {
	t.Helper()
	families, err := e.Families(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f metric.Family) bool { return f.Name == "ebpf_file_ops_total" })
	if i < 0 {
		t.Fatal("no file operations")
	}
	return families[i].Created
}

// TestReservedRowsAndLossesAreAdopted fills the table, so that the rest is
// counted in the reserved rows, and as lost: neither starts anew.
func TestReservedRowsAndLossesAreAdopted(t *testing.T) {
	small := kerneltest.WithRows(fileops.Spec(), 8)
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	other := func(e *engine.Engine) (counted, lost float64) {
		numbers := kerneltest.Read(t, e)
		for name, n := range numbers {
			if strings.HasPrefix(name, "kernscope_lost_events_total{collector=fileops,") {
				lost += n.Value
			}
		}
		return numbers.Value("ebpf_file_ops_total", "process=other", "operation=read"), lost
	}
	var counted, lost float64
	leave(t, pinned(t, dir, small), func(e *engine.Engine) {
		for i := range 8 {
			kerneltest.ReadAs(t, fmt.Sprint("reader-", i), 1)
		}
		reads(t, 1000)
		if counted, lost = other(e); counted < 1000 || lost < 1000 {
			t.Fatalf("%v reads of others, %v lost: the table is not full", counted, lost)
		}
	})
	e := engine.New(pinned(t, dir, small))
	defer e.Close()
	if len(adopted(e)) != 1 {
		t.Fatal("not adopted")
	}
	if c, l := other(e); c < counted || l < lost {
		t.Errorf("%v reads of others and %v lost after %v and %v", c, l, counted, lost)
	}
}

// TestAllCollectorsCanBeAdopted pins what there is. Before Linux 5.15 events
// of perf cannot be pinned, which collector memory needs: it runs without.
func TestAllCollectorsCanBeAdopted(t *testing.T) {
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	want := make([]string, 0)
	for _, s := range builtin.Collectors() {
		if s.Name != "memory" || kerneltest.Kernel() != "5.10" {
			want = append(want, s.Name)
		}
	}
	leave(t, pinned(t, dir, builtin.Collectors()...), func(*engine.Engine) {})
	e := engine.New(pinned(t, dir, builtin.Collectors()...))
	defer e.Close()
	if got := adopted(e); !slices.Equal(got, want) {
		t.Errorf("adopted %v, want %v", got, want)
	}
	numbers := kerneltest.Read(t, e)
	for _, s := range builtin.Collectors() {
		if numbers.Value("kernscope_collector_success", "collector="+s.Name) != 1 {
			t.Errorf("%s was not read", s.Name)
		}
		is := 0.0
		if slices.Contains(want, s.Name) {
			is = 1
		}
		if got := numbers.Value("kernscope_collector_adopted", "collector="+s.Name); got != is {
			t.Errorf("%s: adopted %v, want %v", s.Name, got, is)
		}
	}
	e.Close()
	found := below(t, dir)
	if _, err := pinned(t, dir).Pins.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory stays: %v", err)
	}
	found.areGone(t)
}
