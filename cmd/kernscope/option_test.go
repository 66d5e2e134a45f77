// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
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

// TestRows checks that the range of each option that bounds tables leaves every table enough rows
// to tell something, and no more series than Prometheus wants of one target; and that the help and
// the collector's README state the default and the range.
func TestRows(t *testing.T) {
	const fewest, most = 8, 1 << 16
	_, help, _ := command(t, "--help")
	help = strings.Join(strings.Fields(help), " ")
	for _, s := range builtin.Collectors() {
		for _, table := range s.Tables {
			if table.Bound == nil {
				continue
			}
			at := slices.IndexFunc(s.Options, func(o collector.Option) bool { return o.Name == table.Bound.Option })
			o := s.Options[at]
			percent := cmp.Or(int(table.Bound.Percent), 100)
			if o.Range.Least*percent/100 < fewest || o.Range.Most*percent/100 > most {
				t.Errorf("%s of %s: the range %v is not of %d to %d rows", table.Map, s.Name, o.Range, fewest, most)
			}
			if err := o.Check(o.Default); err != nil {
				t.Errorf("%s: default: %v", s.Name, err)
			}
			readme, err := os.ReadFile("../../collector/" + strings.ReplaceAll(s.Name, "-", "") + "/README.md")
			if err != nil {
				t.Fatal(err)
			}
			flag := fmt.Sprintf("--collector.%s.%s=%v", s.Name, o.Name, o.Default)
			if text := string(readme); !strings.Contains(text, flag) || !strings.Contains(text, o.Range.String()) {
				t.Errorf("the README of %s lacks %s, or %v", s.Name, flag, o.Range)
			}
			if !strings.Contains(help, flag+" "+o.Help[:10]) || !strings.Contains(help, fmt.Sprintf("(%v)", o.Range)) {
				t.Errorf("--help lacks %s, or %v", flag, o.Range)
			}
		}
	}
}
