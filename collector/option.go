// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Option is a setting of one collector, given on the command line as
// --collector.<collector>.<name>.
type Option struct {
	Name string
	Help string
	// Default is the value that the option has unless it is set. Its type is the
	// option's: bool, int, time.Duration, string or []string. Nil is false.
	Default Value
	// Range bounds an int.
	Range Range
	// Live means that the option changes only variables that are not constant,
	// so that it can be set without attaching anew.
	Live bool
}

// Range is what an int may be, both ends included; the zero Range is any number.
type Range struct{ Least, Most int }

// String returns the range as a user reads it.
func (r Range) String() string { return fmt.Sprintf("%d to %d", r.Least, r.Most) }

// Value is what an option is set to, of the type of its default.
type Value any

// Parse returns the value that a user wrote. A list is separated by commas.
func (o Option) Parse(text string) (Value, error) {
	var value Value
	var err error
	var want string
	switch o.Zero().(type) {
	case bool:
		value, err = strconv.ParseBool(text)
		want = "true or false"
	case int:
		value, err = strconv.Atoi(text)
		want = "a whole number"
	case time.Duration:
		value, err = time.ParseDuration(text)
		want = "a duration such as 10ms"
	case string:
		value = text
	case []string:
		value = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	default:
		return nil, fmt.Errorf("option %s: its default is a %T, which no option can be", o.Name, o.Default)
	}
	if err != nil {
		return nil, fmt.Errorf("option %s: %q is not %s", o.Name, text, want)
	}
	return value, o.Check(value)
}

// Check fails unless the value is of the option's type, and in its range.
func (o Option) Check(v Value) error {
	if want := o.Zero(); reflect.TypeOf(v) != reflect.TypeOf(want) {
		return fmt.Errorf("option %s takes a %T, not %v", o.Name, want, v)
	}
	if n, ok := v.(int); ok && o.Range != (Range{}) && (n < o.Range.Least || n > o.Range.Most) {
		return fmt.Errorf("option %s: %d is not in its range, %v", o.Name, n, o.Range)
	}
	return nil
}

// Zero returns the default; false if there is none.
func (o Option) Zero() Value {
	if o.Default == nil {
		return false
	}
	return o.Default
}

// IsOn reports whether a value switches something on: whether it is neither
// false, 0 nor empty.
func IsOn(v Value) bool {
	switch v := v.(type) {
	case bool:
		return v
	case int:
		return v != 0
	case time.Duration:
		return v != 0
	case string:
		return v != ""
	case []string:
		return len(v) > 0
	}
	return false
}

// Variable is a variable of the object that the engine sets before the load. Its
// value comes from exactly one of Option, Syscalls and Fact.
type Variable struct {
	// Name is the name in C.
	Name string
	// Option names the option of a bool, int or time.Duration whose value the
	// variable has; a duration is in nanoseconds.
	Option string
	// Syscalls makes the variable a table, an array of bytes that is indexed by
	// the number of a system call. These are the elements by the call's name;
	// the others are zero. A call that the architecture does not have is left
	// out. Compat means the numbers that 32-bit programs use.
	Syscalls map[string]uint8
	Compat   bool
	// Fact is something that the engine knows.
	Fact Fact
}

// Fact is something that the engine knows of the machine or of its user.
type Fact int

// The facts.
const (
	// HistogramBounds are the bounds of a struct hist in the user's unit:
	// [8]u64.
	HistogramBounds Fact = iota + 1
	// LoadTime is CLOCK_MONOTONIC at the load, in nanoseconds: u64. It is no
	// part of what identifies a pinned collector.
	LoadTime
	// PageShift is the binary logarithm of the size of a page: u32.
	PageShift
)

// CommonVariables returns the variables that the engine sets in every object that
// has them: the shared headers of the kernel halves declare and use them.
func CommonVariables() []Variable {
	return []Variable{
		{Name: "cfg_hist_bounds", Fact: HistogramBounds},
		{Name: "cfg_load_ns", Fact: LoadTime},
		{Name: "cfg_page_shift", Fact: PageShift},
	}
}

// LossesVariable is the name of the variable in which an object counts the
// events that it saw and could not count where they belong: a struct of
// counters, one for each reason.
const LossesVariable = "losses"
