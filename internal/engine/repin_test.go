// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/collector/schedlat"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/metric"
)

// TestOtherPinsAreReplaced changes what decides how is counted, and what is
// pinned: only the same is adopted, and nothing of the other stays.
func TestOtherPinsAreReplaced(t *testing.T) {
	changed := func(change func(*ebpf.CollectionSpec)) collector.Spec {
		s := schedlat.Spec()
		load := s.Load
		s.Load = func() (*ebpf.CollectionSpec, error) {
			obj, err := load()
			if err == nil {
				change(obj)
			}
			return obj, err
		}
		return s
	}
	for _, tt := range []struct {
		name  string
		next  collector.Spec
		unit  metric.Unit
		spoil func(t *testing.T, dir string)
		adopt bool
	}{
		{name: "same", next: schedlat.Spec(), adopt: true},
		{name: "other unit", next: schedlat.Spec(), unit: metric.Seconds},
		{name: "other instruction", next: changed(func(obj *ebpf.CollectionSpec) {
			for _, p := range obj.Programs {
				p.Instructions = slices.Insert(p.Instructions, 1, asm.Mov.Imm(asm.R0, 0))
			}
		})},
		{name: "other size", next: changed(func(obj *ebpf.CollectionSpec) {
			obj.Maps["schedlat_delay"].MaxEntries++
		})},
		{name: "killed while pinning", next: schedlat.Spec(), spoil: func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "complete"))
		}},
		{name: "pin removed", next: schedlat.Spec(), spoil: func(t *testing.T, dir string) {
			pins, err := filepath.Glob(filepath.Join(dir, "link-*"))
			if err != nil || len(pins) == 0 {
				t.Fatal(pins, err)
			}
			remove(t, pins[0])
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
			leave(t, pinned(t, dir, schedlat.Spec()), func(*engine.Engine) {})
			first := below(t, dir)
			if tt.spoil != nil {
				tt.spoil(t, identities(t, dir)[0])
			}
			cfg := pinned(t, dir, tt.next)
			cfg.Buckets = metric.NewBuckets(max(tt.unit, metric.Microseconds))
			var log strings.Builder
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			leave(t, cfg, func(e *engine.Engine) {
				if (len(adopted(e)) == 1) != tt.adopt || e.States()[0].Status != engine.Running {
					t.Errorf("state %+v", e.States()[0])
				}
			})
			if said := strings.Contains(log.String(), "Removed what was pinned"); said == tt.adopt {
				t.Errorf("the log says that pins were removed: %v\n%s", said, &log)
			}
			if after := identities(t, dir); len(after) != 1 {
				t.Errorf("pinned under %v", after)
			}
			if !tt.adopt {
				first.areGone(t)
			}
			cfg = pinned(t, dir, tt.next)
			cfg.Buckets = metric.NewBuckets(max(tt.unit, metric.Microseconds))
			leave(t, cfg, func(e *engine.Engine) {
				if len(adopted(e)) != 1 {
					t.Errorf("what replaced the other is not adopted: %+v", e.States()[0])
				}
			})
			last := below(t, dir)
			if _, err := cfg.Pins.Remove("schedlat"); err != nil {
				t.Fatal(err)
			}
			last.areGone(t)
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// identities returns the directories in which collectors are pinned.
func identities(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("nothing is pinned: %v", err)
	}
	return found
}

// TestPinsOfADeadCollectorAreRemoved checks that the pins of a collector that
// does not run any more go.
func TestPinsOfADeadCollectorAreRemoved(t *testing.T) {
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	leave(t, pinned(t, dir, schedlat.Spec()), func(*engine.Engine) {})
	found := below(t, dir)
	dead := refused()
	dead.Name = "schedlat"
	leave(t, pinned(t, dir, dead), func(e *engine.Engine) {
		if e.States()[0].Status != engine.Failed {
			t.Errorf("state %+v", e.States()[0])
		}
	})
	found.areGone(t)
}

// TestPinsInUseAreLeftAlone runs two engines at once: the second neither shares
// nor replaces what the first has.
func TestPinsInUseAreLeftAlone(t *testing.T) {
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	first := engine.New(pinned(t, dir, schedlat.Spec()))
	defer first.Close()
	if err := first.Pin(); err != nil {
		t.Fatal(err)
	}
	before := below(t, dir)
	leave(t, pinned(t, dir, schedlat.Spec()), func(e *engine.Engine) {
		if s := e.States()[0]; s.Status != engine.Running || s.Adopted {
			t.Errorf("state %+v", s)
		}
	})
	if after := below(t, dir); !slices.Equal(before.programs, after.programs) {
		t.Errorf("programs %v, and %v after another run", before.programs, after.programs)
	}
}

// TestTableThatFollowsDevices grows what the machine's devices ask for: a
// little, for which there is room, and more.
func TestTableThatFollowsDevices(t *testing.T) {
	rows := uint32(160)
	spec := diskio.Spec()
	for i := range spec.Tables {
		if spec.Tables[i].Size != nil {
			spec.Tables[i].Size = func() (uint32, error) { return rows, nil }
		}
	}
	dir := filepath.Join(kerneltest.BPFFS(t), "kernscope")
	leave(t, pinned(t, dir, spec), func(*engine.Engine) {})
	for _, tt := range []struct {
		rows  uint32
		adopt bool
	}{{160, true}, {200, true}, {100, true}, {300, false}, {300, true}} {
		rows = tt.rows
		leave(t, pinned(t, dir, spec), func(e *engine.Engine) {
			if got := len(adopted(e)) == 1; got != tt.adopt {
				t.Errorf("%d rows: adopted %v, want %v", rows, got, tt.adopt)
			}
		})
	}
}
