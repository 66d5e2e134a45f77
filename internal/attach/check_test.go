// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
)

// TestMistakes has specs that are wrong in one respect each. None would fail to
// load.
func TestMistakes(t *testing.T) {
	right := func() collector.Spec {
		return collector.Spec{
			Hooks: []collector.Hook{
				{Name: "first", Ways: collector.By("best", "next")},
				{Name: "second", Ways: collector.By("third"), When: "more"},
				{Name: "instead", Ways: collector.By("third"), Unless: "more"},
			},
			Options: []collector.Option{{Name: "more"}},
			Tables:  []collector.Table{{Map: "counts"}},
			Metrics: []collector.Metric{
				{Name: "part_total", Kind: collector.Counter, Map: "counts"},
				{Name: "lasted_total", Kind: collector.Counter, Duration: true, Map: "counts"},
				{Name: "ratio", Kind: collector.Ratio, Part: "part_total", Whole: []string{"part_total"}, Window: time.Minute},
			},
		}
	}
	for want, change := range map[string]func(*collector.Spec){
		"":                                     func(*collector.Spec) {},
		"hook second: there is no option mroe": func(s *collector.Spec) { s.Hooks[1].When = "mroe" },
		"metric part_total: there is no option m": func(s *collector.Spec) { s.Metrics[0].Unless = "m" },
		"hook first has no way":                   func(s *collector.Spec) { s.Hooks[0].Ways = nil },
		"hook first: a way has program best twice": func(s *collector.Spec) {
			s.Hooks[0].Ways[0].Programs = []string{"best", "best"}
		},
		"hooks first and instead both have program third":                    func(s *collector.Spec) { s.Hooks[0].Ways = collector.By("best", "third") },
		"two tables of map counts":                                           func(s *collector.Spec) { s.Tables = append(s.Tables, s.Tables[0]) },
		"map cuonts, which the object does not have":                         func(s *collector.Spec) { s.Tables[0].Map = "cuonts" },
		"its highest bucket is -1":                                           func(s *collector.Spec) { s.Metrics[0].Highest = -1 },
		"a ratio in a window of 0s":                                          func(s *collector.Spec) { s.Metrics[2].Window = 0 },
		"a ratio of prat_total":                                              func(s *collector.Spec) { s.Metrics[2].Part = "prat_total" },
		"a ratio of part_total and lasted_total, of which one is a duration": func(s *collector.Spec) { s.Metrics[2].Part = "lasted_total" },
		"a ratio of ratio, which is no counter":                              func(s *collector.Spec) { s.Metrics[2].Part = "ratio" },
		"a ratio is no duration":                                             func(s *collector.Spec) { s.Metrics[2].Duration = true },
		"a ratio of whole_total":                                             func(s *collector.Spec) { s.Metrics[2].Whole[0] = "whole_total" },
	} {
		cfg := Config{Spec: right()}
		change(&cfg.Spec)
		err := cfg.check(object())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestHashOfOddValues has a map that no metric needs. It is read all the same, for the number of its
// entries.
func TestHashOfOddValues(t *testing.T) {
	for _, tt := range []struct {
		kind ebpf.MapType
		size uint32
		well bool
	}{{ebpf.Hash, 16, true}, {ebpf.Hash, 12, false}, {ebpf.LRUCPUHash, 1, false}, {ebpf.Array, 12, true}} {
		obj := object()
		obj.Maps["state"] = &ebpf.MapSpec{Type: tt.kind, ValueSize: tt.size}
		err := new(Config).check(obj)
		if (err == nil) != tt.well || err != nil && !strings.Contains(err.Error(), "map state") {
			t.Errorf("%v of %d bytes: error %v", tt.kind, tt.size, err)
		}
	}
}
