// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
)

// check returns an error for a mistake in the spec that would otherwise pass
// unseen, as what it names would never be there or be there twice.
func (c *Config) check(obj *ebpf.CollectionSpec) error {
	if err := c.checkHooks(); err != nil {
		return err
	}
	hashes := []ebpf.MapType{ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash}
	for name, m := range obj.Maps {
		if slices.Contains(hashes, m.Type) && m.ValueSize%8 != 0 {
			return fmt.Errorf("a value of map %s has %d bytes: the rows of a hash are read as 64-bit words, to count them", name, m.ValueSize)
		}
	}
	seen := make(map[string]bool)
	for _, t := range c.Spec.Tables {
		if obj.Maps[t.Map] == nil {
			return fmt.Errorf("a table is of map %s, which the object does not have", t.Map)
		}
		if seen[t.Map] {
			return fmt.Errorf("there are two tables of map %s", t.Map)
		}
		seen[t.Map] = true
	}
	for _, v := range c.Spec.Variables {
		in := obj.Variables[v.Name]
		live := slices.ContainsFunc(c.Spec.Options, func(o collector.Option) bool { return o.Live && o.Name == v.Option })
		if live && in != nil && in.Constant() {
			return fmt.Errorf("variable %s of a live option is constant", v.Name)
		}
	}
	for _, m := range c.Spec.Metrics {
		if err := c.checkMetric(m); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	return nil
}

// checkHooks looks at those hooks that the options ask for. A program belongs to
// one, which attaches and discards it.
func (c *Config) checkHooks() error {
	owner := make(map[string]string)
	for _, h := range c.Spec.Hooks {
		if err := c.checkOptions(h.When, h.Unless); err != nil {
			return fmt.Errorf("hook %s: %w", h.Name, err)
		}
		if len(h.Ways) == 0 {
			return fmt.Errorf("hook %s has no way", h.Name)
		}
		if !c.Wanted(h.When, h.Unless) {
			continue
		}
		mine := make(map[string]bool)
		for _, w := range h.Ways {
			for i, program := range w.Programs {
				if slices.Contains(w.Programs[:i], program) {
					return fmt.Errorf("hook %s: a way has program %s twice", h.Name, program)
				}
				mine[program] = true
			}
		}
		for program := range mine {
			if other, taken := owner[program]; taken {
				return fmt.Errorf("hooks %s and %s both have program %s", other, h.Name, program)
			}
			owner[program] = h.Name
		}
	}
	return nil
}

func (c *Config) checkMetric(m collector.Metric) error {
	if err := c.checkOptions(m.When, m.Unless); err != nil {
		return err
	}
	if m.Highest < 0 {
		return fmt.Errorf("its highest bucket is %d", m.Highest)
	}
	if m.Kind != collector.Ratio {
		return nil
	}
	if m.Window <= 0 {
		return fmt.Errorf("a ratio in a window of %v", m.Window)
	}
	if m.Duration {
		return errors.New("a ratio is no duration")
	}
	var first collector.Metric
	for i, name := range append(slices.Clone(m.Whole), m.Part) {
		at := slices.IndexFunc(c.Spec.Metrics, func(other collector.Metric) bool { return other.Name == name })
		if at < 0 {
			return fmt.Errorf("it is a ratio of %s, which is no metric of the collector", name)
		}
		counter := c.Spec.Metrics[at]
		if counter.Kind != collector.Counter {
			return fmt.Errorf("it is a ratio of %s, which is no counter", name)
		}
		if i == 0 {
			first = counter
		}
		if counter.Duration != first.Duration {
			return fmt.Errorf("it is a ratio of %s and %s, of which one is a duration", first.Name, name)
		}
	}
	return nil
}

// checkOptions fails unless the names are those of options, or empty.
func (c *Config) checkOptions(names ...string) error {
	for _, name := range names {
		if name != "" && c.Value(name) == nil {
			return fmt.Errorf("there is no option %s", name)
		}
	}
	return nil
}
