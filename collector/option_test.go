// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOptionParse(t *testing.T) {
	for _, tt := range []struct {
		def  Value
		text string
		want Value // nil is an error
		on   bool
	}{
		{nil, "true", true, true},
		{false, "false", false, false},
		{false, "yes please", nil, false},
		{5, "-3", -3, true},
		{5, "0", 0, false},
		{5, "1.5", nil, false},
		{time.Second, "250us", 250 * time.Microsecond, true},
		{time.Second, "5", nil, false},
		{"", "any text", "any text", true},
		{[]string{}, "a,b, c", []string{"a", "b", "c"}, true},
		{[]string{"a"}, "", []string{}, false},
		{3.5, "3.5", nil, false},
	} {
		o := Option{Name: "it", Default: tt.def}
		got, err := o.Parse(tt.text)
		if (err != nil) != (tt.want == nil) || err != nil && !strings.Contains(err.Error(), "option it") {
			t.Errorf("%T %q: error %v", tt.def, tt.text, err)
		}
		if err != nil {
			continue
		}
		if !reflect.DeepEqual(got, tt.want) || IsOn(got) != tt.on {
			t.Errorf("%T %q is %#v, on: %v, want %#v, %v", tt.def, tt.text, got, IsOn(got), tt.want, tt.on)
		}
		if err := o.Check(got); err != nil {
			t.Errorf("%#v is not of the type that it was parsed to: %v", got, err)
		}
	}
	bounded := Option{Name: "it", Default: 9, Range: Range{8, 10}}
	for text, fits := range map[string]bool{"7": false, "8": true, "10": true, "11": false, "0": false, "-9": false} {
		if _, err := bounded.Parse(text); (err == nil) != fits || !fits && !strings.Contains(err.Error(), "it: "+text+" is not in its range, 8 to 10") {
			t.Errorf("%s of 8 to 10: error %v", text, err)
		}
	}
	if err := (Option{Name: "it", Default: 5}).Check("5"); err == nil {
		t.Error("a text was taken for a number")
	}
}

func TestFullName(t *testing.T) {
	for _, tt := range []struct {
		metric Metric
		want   string
	}{
		{Metric{Name: "a", Kind: Counter}, "a"},
		{Metric{Name: "a", Kind: Gauge}, "a"},
		{Metric{Name: "a", Kind: Gauge, Duration: true}, "a_seconds"},
		{Metric{Name: "a_total", Kind: Counter, Duration: true}, "a_seconds_total"},
		{Metric{Name: "a", Kind: Histogram}, "a_seconds"},
		{Metric{Name: "a", Kind: LinearHistogram}, "a"},
	} {
		if got := tt.metric.FullName("seconds"); got != tt.want {
			t.Errorf("%+v is served as %s, want %s", tt.metric, got, tt.want)
		}
	}
}

func TestLabelsOf(t *testing.T) {
	s := Spec{
		Tables: []Table{{Map: "rows", Labels: []Label{{Name: "a"}}}, {Map: "others", Labels: []Label{{Name: "b"}}}},
		Metrics: []Metric{
			{Name: "part", Kind: Counter, Map: "rows", Labels: []Label{{Name: "i", Field: Index}}},
			{Name: "ratio", Kind: Ratio, Part: "part"},
			{Name: "read", Kind: Counter, Labels: []Label{{Name: "c"}}},
		},
	}
	for i, want := range []string{"a i", "a i", "c"} {
		var names []string
		for _, l := range s.LabelsOf(s.Metrics[i]) {
			names = append(names, l.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s has the labels %q, want %q", s.Metrics[i].Name, got, want)
		}
	}
	if len(s.Tables[0].Labels) != 1 {
		t.Error("the table's labels have changed")
	}
}
