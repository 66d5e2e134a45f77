// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
)

// typed is a collector with an option of each type.
func typed() collector.Spec {
	return collector.Spec{Name: "typed", Help: "Types", Options: []collector.Option{
		{Name: "switch", Help: "A switch."},
		{Name: "number", Help: "A number.", Default: 5},
		{Name: "time", Help: "A time.", Default: 10 * time.Millisecond},
		{Name: "text", Help: "A text.", Default: "none"},
		{Name: "list", Help: "A list.", Default: []string{"a"}},
	}}
}

func TestOptionFlags(t *testing.T) {
	defaults := []collector.Value{false, 5, 10 * time.Millisecond, "none", []string{"a"}}
	for args, want := range map[string][]collector.Value{
		"": defaults,
		"--collector.typed.switch --collector.typed.number=-3 --collector.typed.time=2s --collector.typed.text=x --collector.typed.list=b,c": {
			true, -3, 2 * time.Second, "x", []string{"b", "c"},
		},
		"--no-collector.typed.switch":         defaults,
		"--collector.typed.number=many":       nil,
		"--collector.typed.time=5":            nil,
		"--collector.typed.number=5 --number": nil,
	} {
		app := kingpin.New("kernscope", "").UsageWriter(io.Discard).ErrorWriter(io.Discard).Terminate(nil)
		flags := addCollectorFlags(app, []collector.Spec{typed()})
		_, err := app.Parse(strings.Fields(args))
		if (err == nil) != (want != nil) {
			t.Errorf("%q: error %v", args, err)
		}
		if err != nil {
			continue
		}
		for i, o := range typed().Options {
			if got := flags.options["typed."+o.Name].value; !reflect.DeepEqual(got, want[i]) {
				t.Errorf("%q: %s is %#v, want %#v", args, o.Name, got, want[i])
			}
		}
	}
}
