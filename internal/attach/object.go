// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
)

// parse returns the collector's object with its variables and the sizes of its
// maps set for this machine and these options.
func (c *Config) parse() (*ebpf.CollectionSpec, error) {
	if c.Spec.Load == nil {
		obj := new(ebpf.CollectionSpec)
		if err := c.check(obj); err != nil {
			return nil, fmt.Errorf("the collector is mistaken: %w", err)
		}
		return obj, nil
	}
	obj, err := c.load()
	if err != nil {
		return nil, err
	}
	if err := c.check(obj); err != nil {
		return nil, fmt.Errorf("the collector is mistaken: %w", err)
	}
	for _, v := range collector.CommonVariables() {
		if obj.Variables[v.Name] == nil {
			continue
		}
		if err := c.set(obj, v); err != nil {
			return nil, err
		}
	}
	for _, v := range c.Spec.Variables {
		if err := c.set(obj, v); err != nil {
			return nil, err
		}
	}
	for _, t := range c.Spec.Tables {
		if t.Size == nil || obj.Maps[t.Map] == nil {
			continue
		}
		rows, err := t.Size()
		if err != nil {
			return nil, fmt.Errorf("sizing map %s: %w", t.Map, err)
		}
		obj.Maps[t.Map].MaxEntries = rows
	}
	c.Machine.FitMaps(obj.Maps)
	if c.Fit != nil {
		if err := c.Fit(obj, c.Value); err != nil {
			return nil, err
		}
	}
	return obj, nil
}

// load returns the collector's object as it was compiled.
func (c *Config) load() (*ebpf.CollectionSpec, error) {
	obj, err := c.Spec.Load()
	if err == nil && obj == nil {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("parsing the object: %w", err)
	}
	return obj, nil
}

// CheckOption returns an error unless the option's variables can hold the value.
func (c *Config) CheckOption(name string, value collector.Value) error {
	if c.Spec.Load == nil {
		return nil
	}
	obj, err := c.load()
	if err != nil {
		return err
	}
	for _, v := range c.Spec.Variables {
		if in := obj.Variables[v.Name]; in != nil && v.Option == name {
			if _, err := raw(value, int(in.Size())); err != nil {
				return fmt.Errorf("setting variable %s: %w", v.Name, err)
			}
		}
	}
	return nil
}

// set sets a variable of the object.
func (c *Config) set(obj *ebpf.CollectionSpec, v collector.Variable) error {
	in := obj.Variables[v.Name]
	if in == nil {
		return fmt.Errorf("the object has no variable %s", v.Name)
	}
	value, err := c.valueOf(v, int(in.Size()))
	if err == nil {
		err = in.Set(value)
	}
	if err != nil {
		return fmt.Errorf("setting variable %s: %w", v.Name, err)
	}
	return nil
}

// valueOf returns a variable's value, for a variable of so many bytes.
func (c *Config) valueOf(v collector.Variable, size int) (any, error) {
	switch {
	case v.Option != "":
		return raw(c.Value(v.Option), size)
	case v.Syscalls != nil:
		return syscallTable(v, size)
	}
	switch v.Fact {
	case collector.HistogramBounds:
		return c.Unit.Bounds(), nil
	case collector.LoadTime:
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return nil, fmt.Errorf("reading the clock: %w", err)
		}
		return uint64(now.Nano()), nil
	case collector.PageShift:
		return uint32(bits.TrailingZeros(uint(os.Getpagesize()))), nil
	}
	return nil, fmt.Errorf("it has neither an option nor a table nor a fact")
}

// raw returns the bytes of an option's value in a variable of so many bytes.
func raw(value collector.Value, size int) ([]byte, error) {
	var n int64
	switch v := value.(type) {
	case bool:
		if v {
			n = 1
		}
	case int:
		n = int64(v)
	case time.Duration:
		n = v.Nanoseconds()
	default:
		return nil, fmt.Errorf("an option of type %T has no variable", value)
	}
	long := binary.NativeEndian.AppendUint64(nil, uint64(n))
	if size != 1 && size != 4 && size != 8 {
		return nil, fmt.Errorf("it has %d bytes: it should be a bool, a 32-bit or a 64-bit number", size)
	}
	if size < 8 && n != n<<(64-8*size)>>(64-8*size) && n>>(8*size) != 0 {
		return nil, fmt.Errorf("%d does not fit into %d bytes", n, size)
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return long[:size], nil
	}
	return long[8-size:], nil
}

// syscallTable returns an array indexed by the number of a system call.
func syscallTable(v collector.Variable, size int) ([]byte, error) {
	number := label.SyscallNumber
	if v.Compat {
		number = label.CompatSyscallNumber
	}
	table := make([]byte, size)
	for name, value := range v.Syscalls {
		n, ok := number(name)
		if !ok {
			continue
		}
		if int(n) >= len(table) {
			return nil, fmt.Errorf("it has %d elements, and the number of %s is %d", len(table), name, n)
		}
		table[n] = value
	}
	return table, nil
}
