// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// object is JSON whose keys are sorted, as Grafana writes it.
type object = map[string]any

// placed is a panel with the collector it belongs to.
type placed struct {
	collector.Panel
	owner string
}

// Dashboard writes the dashboard of the collectors' panels, as Grafana imports
// it and reads it from a disk. Rows without panels are left out.
func Dashboard(asked Asked) ([]byte, error) {
	specs, unit := asked.Specs, asked.Unit
	all, err := inOrder(specs)
	if err != nil {
		return nil, err
	}
	panels, err := inRows(all, newFilters(specs, unit), unit)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(object{
		"__requires":    requirements(all),
		"title":         "eBPF Kernel Metrics",
		"description":   fmt.Sprintf("What happens inside the kernel, counted there by kernscope. Written by %q.", asked.command("dashboard", asked.units())),
		"uid":           "kernscope",
		"tags":          []string{"ebpf", "kernel", "zfs", "wireguard"},
		"schemaVersion": 42, // of Grafana 13; older ones only read what they know
		"editable":      true,
		"refresh":       "30s",
		"time":          object{"from": "now-1h", "to": "now"},
		"timezone":      "browser",
		"graphTooltip":  1, // one crosshair on all panels
		"templating":    object{"list": variables(specs, unit)},
		"panels":        panels,
	}); err != nil {
		return nil, fmt.Errorf("writing the dashboard: %w", err)
	}
	return out.Bytes(), nil
}

// inOrder returns the panels of all collectors as they stand on the dashboard.
func inOrder(specs []collector.Spec) ([]placed, error) {
	var all []placed
	for _, s := range specs {
		for _, p := range s.Panels {
			if !slices.Contains(collector.Rows(), p.Row) {
				return nil, fmt.Errorf("panel %q of %s: there is no row %q", p.Title, s.Name, p.Row)
			}
			if _, ok := kinds[p.Type]; !ok {
				return nil, fmt.Errorf("panel %q of %s: there is no type %q", p.Title, s.Name, p.Type)
			}
			all = append(all, placed{p, s.Name})
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(slices.Index(collector.Rows(), a.Row), slices.Index(collector.Rows(), b.Row)), cmp.Compare(a.Place, b.Place))
	})
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; a.Row == b.Row && a.Place == b.Place {
			return nil, fmt.Errorf("panels %q of %s and %q of %s: both have place %d of the row %q", a.Title, a.owner, b.Title, b.owner, a.Place, a.Row)
		}
	}
	return all, nil
}

// inRows returns the rows that have panels, each before its panels. Ids follow from
// row and place: links to a panel outlive what is added elsewhere.
func inRows(all []placed, filters filters, unit metric.Unit) ([]object, error) {
	var out []object
	bottom := 0
	for i, row := range collector.Rows() {
		var panels []placed
		for _, p := range all {
			if p.Row == row {
				panels = append(panels, p)
			}
		}
		if len(panels) == 0 {
			continue
		}
		id := 100 * (i + 1)
		out = append(out, object{
			"type": "row", "id": id, "title": row, "collapsed": false, "panels": []object{},
			"gridPos": box{X: 0, Y: bottom, W: gridWidth, H: 1},
		})
		boxes, end := arrange(panels, bottom+1)
		for j, p := range panels {
			panel, err := p.object(filters, unit)
			if err != nil {
				return nil, fmt.Errorf("panel %q of %s: %w", p.Title, p.owner, err)
			}
			panel["id"] = id + p.Place
			panel["gridPos"] = boxes[j]
			out = append(out, panel)
		}
		bottom = end
	}
	return out, nil
}

// requirements tell Grafana which plugins the dashboard needs.
func requirements(all []placed) []object {
	out := []object{
		// The first that takes native histograms for a heatmap's buckets.
		{"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.3.0"},
		{"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
	}
	var types []string
	for _, p := range all {
		types = append(types, p.Type)
	}
	slices.Sort(types)
	for _, t := range slices.Compact(types) {
		out = append(out, object{"type": "panel", "id": t, "name": kinds[t].name, "version": ""})
	}
	return out
}
