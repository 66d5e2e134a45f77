// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// kind is what the generator knows of a type of panel.
type kind struct {
	name string // Grafana's
	// weight is how wide a panel is, against its neighbours.
	weight int
	// format is how Grafana reads the answers. instant asks for the present
	// only, not for all of the time shown.
	format  string
	instant bool
	// points is the most that the time shown is divided into; 0 is the
	// panel's width.
	points int
	// options, fields and transformations are the panel's own part.
	options         func(p placed, unit metric.Unit) object
	fields          func(p placed) object
	transformations func(p placed) []object
}

// kinds are the types of panel.
var kinds = map[string]kind{
	"timeseries": {name: "Time series", weight: 2, format: "time_series", options: timeseriesOptions, fields: timeseriesFields},
	"heatmap":    {name: "Heatmap", weight: 3, format: "heatmap", points: 60, options: heatmapOptions, fields: heatmapFields},
	"stat":       {name: "Stat", weight: 1, format: "time_series", options: statOptions},
	"gauge":      {name: "Gauge", weight: 1, format: "time_series", instant: true, options: gaugeOptions},
	"bargauge":   {name: "Bar gauge", weight: 2, format: "time_series", instant: true, options: bargaugeOptions},
	"table":      {name: "Table", weight: 2, format: "table", instant: true, options: tableOptions, fields: tableFields, transformations: tableTransformations},
}

// object returns the panel as Grafana has it, but for its id and its place.
func (p placed) object(filters filters, unit metric.Unit) (object, error) {
	k := kinds[p.Type]
	if len(p.Queries) == 0 {
		return nil, errors.New("it has no query")
	}
	var targets, overrides []object
	for i, q := range p.Queries {
		expr, err := expand(q.Expr, unit)
		if err != nil {
			return nil, err
		}
		if expr, err = filters.add(expr); err != nil {
			return nil, err
		}
		ref := refID(i)
		targets = append(targets, object{
			"refId": ref, "datasource": source(), "editorMode": "code", "expr": expr, "legendFormat": q.Legend,
			"format": k.format, "instant": k.instant, "range": !k.instant,
		})
		if q.Unit != "" {
			overrides = append(overrides, atTheRight(ref, q.Unit))
		}
	}
	panel := object{
		"type": p.Type, "title": p.Title, "description": p.Description, "datasource": source(),
		"targets": targets, "options": k.options(p, unit), "fieldConfig": p.fieldConfig(k, overrides),
	}
	if k.points > 0 {
		panel["maxDataPoints"] = k.points
	}
	if k.transformations != nil {
		panel["transformations"] = k.transformations(p)
	}
	return panel, nil
}

// refID returns the letter by which Grafana knows a query.
func refID(i int) string { return string(rune('A' + i)) }

func (p placed) fieldConfig(k kind, overrides []object) object {
	color := "palette-classic"
	if p.Thresholds != nil && p.Type != "timeseries" {
		color = "thresholds"
	}
	defaults := object{
		"unit": p.Unit, "min": 0,
		"color":      object{"mode": color},
		"thresholds": object{"mode": "absolute", "steps": steps(p.Thresholds)},
	}
	if p.Unit == "percentunit" {
		defaults["max"] = 1
	}
	if k.fields != nil {
		defaults["custom"] = k.fields(p)
	}
	if overrides == nil {
		overrides = []object{}
	}
	return object{"defaults": defaults, "overrides": overrides}
}

// steps returns thresholds in Grafana's form, whose first has no lower end.
func steps(thresholds []collector.Threshold) []object {
	if thresholds == nil {
		return []object{{"color": "green", "value": nil}}
	}
	var out []object
	for i, t := range thresholds {
		step := object{"color": t.Color, "value": t.From}
		if i == 0 {
			step["value"] = nil
		}
		out = append(out, step)
	}
	return out
}

// atTheRight gives the results of a query their own unit and axis.
func atTheRight(ref, unit string) object {
	return object{
		"matcher": object{"id": "byFrameRefID", "options": ref},
		"properties": []object{
			{"id": "unit", "value": unit},
			{"id": "custom.axisPlacement", "value": "right"},
			{"id": "custom.scaleDistribution", "value": object{"type": "linear"}},
		},
	}
}
