// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"github.com/kernscope/kernscope/internal/metric"
)

// This file has what Grafana wants of each type of panel: its options and the
// fields' own settings, as @grafana/schema names them.

func timeseriesOptions(placed, metric.Unit) object {
	return object{
		"legend":  object{"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []string{}},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}
}

func timeseriesFields(p placed) object {
	fields := object{
		"drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never",
		"spanNulls":         false, // a gap is time in which nothing was measured
		"axisPlacement":     "auto",
		"scaleDistribution": object{"type": "linear"},
		"stacking":          object{"mode": "none", "group": "A"},
		"thresholdsStyle":   object{"mode": "off"},
	}
	if p.Log {
		fields["scaleDistribution"] = object{"type": "symlog", "log": 10, "linearThreshold": logFrom(p.Unit)}
	}
	if p.Stacked {
		fields["stacking"] = object{"mode": "normal", "group": "A"}
		fields["fillOpacity"] = 50
	}
	if len(p.Thresholds) > 1 {
		fields["thresholdsStyle"] = object{"mode": "line"}
	}
	return fields
}

// logFrom returns where a logarithmic axis begins, below which it is linear.
func logFrom(unit string) float64 {
	if unit == "s" {
		return 1e-6
	}
	return 1
}

// yUnit returns the unit of a histogram's buckets, as Grafana has it.
func yUnit(unit metric.Unit) string {
	if unit == metric.Microseconds {
		return "µs"
	}
	return "s"
}

func heatmapOptions(p placed, unit metric.Unit) object {
	return object{
		"calculate":    false, // the buckets are Prometheus'
		"cellGap":      1,
		"cellValues":   object{"unit": p.Unit},
		"color":        object{"mode": "scheme", "scheme": "Turbo", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": false},
		"exemplars":    object{"color": "rgba(255,0,255,0.7)"},
		"filterValues": object{"le": 1e-9}, // an empty cell has no colour
		"legend":       object{"show": true},
		"rowsFrame":    object{"layout": "auto"},
		"showValue":    "never",
		"tooltip":      object{"mode": "single", "showColorScale": true, "yHistogram": true},
		"yAxis":        object{"axisPlacement": "left", "reverse": false, "unit": yUnit(unit)},
	}
}

func heatmapFields(placed) object {
	return object{"scaleDistribution": object{"type": "log", "log": 2}}
}

// latest returns the last number of each result that there is.
func latest() object {
	return object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}
}

func statOptions(placed, metric.Unit) object {
	return object{
		"colorMode": "background", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
		"percentChangeColorMode": "standard", "showPercentChange": false, "wideLayout": true, "reduceOptions": latest(),
	}
}

func gaugeOptions(placed, metric.Unit) object {
	return object{
		"orientation": "auto", "reduceOptions": latest(), "showThresholdLabels": false, "showThresholdMarkers": true,
		"sizing": "auto", "minVizHeight": 75, "minVizWidth": 75,
		"shape": "gauge", "barShape": "flat", "barWidthFactor": 0.5, "effects": object{}, "segmentCount": 1, "segmentSpacing": 0.3,
	}
}

func bargaugeOptions(placed, metric.Unit) object {
	return object{
		"orientation": "horizontal", "reduceOptions": latest(), "displayMode": "basic", "showUnfilled": true,
		"namePlacement": "auto", "valueMode": "color", "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 300,
		"legend": object{"showLegend": false, "displayMode": "list", "placement": "bottom", "calcs": []string{}},
	}
}

func tableOptions(p placed, _ metric.Unit) object {
	return object{
		"showHeader": true, "cellHeight": "sm", "frameIndex": 0,
		"sortBy": []object{{"displayName": p.Queries[0].Legend, "desc": true}},
	}
}

func tableFields(placed) object {
	return object{"align": "auto", "cellOptions": object{"type": "auto"}, "inspect": false}
}

// tableTransformations make one table of the answers, which are a table each.
func tableTransformations(p placed) []object {
	names := object{}
	for i, q := range p.Queries {
		value := "Value"
		if len(p.Queries) > 1 {
			value += " #" + refID(i)
		}
		names[value] = q.Legend
	}
	return []object{
		{"id": "merge", "options": object{}},
		{"id": "organize", "options": object{"excludeByName": object{"Time": true}, "renameByName": names}},
	}
}
