// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
)

// optionFlag is the flag of a collector's option. It implements kingpin.Value.
type optionFlag struct {
	option collector.Option
	value  collector.Value
}

// addOption adds the flag of an option.
func addOption(app *kingpin.Application, name string, o collector.Option) *optionFlag {
	f := &optionFlag{option: o, value: o.Zero()}
	help := o.Help
	if o.Range != (collector.Range{}) {
		help += fmt.Sprintf(" (%v)", o.Range)
	}
	flag := app.Flag(name, help)
	switch o.Zero().(type) {
	case bool:
	case time.Duration, int:
		flag.PlaceHolder(f.String())
	case []string:
		flag.PlaceHolder("NAME,...")
	default:
		flag.PlaceHolder("TEXT")
	}
	flag.SetValue(f)
	return f
}

// Set reads what the user wrote.
func (f *optionFlag) Set(text string) (err error) {
	f.value, err = f.option.Parse(text)
	return err
}

// String returns the value as the user would write it.
func (f *optionFlag) String() string {
	if list, ok := f.value.([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(f.value)
}

// isSet reports whether the value is another than the default.
func (f *optionFlag) isSet() bool { return !reflect.DeepEqual(f.value, f.option.Zero()) }

// IsBoolFlag tells kingpin that the flag needs no value.
func (f *optionFlag) IsBoolFlag() bool {
	_, ok := f.option.Zero().(bool)
	return ok
}
