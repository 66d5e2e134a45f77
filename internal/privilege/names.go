// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"fmt"
	"strings"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Parse reads a list of capabilities as a user writes it: names separated by
// commas, in either case, with or without "cap_"; "none" or nothing for no
// capability; "all" for every one that the process holds. It returns the
// kernel's names in lower case, without repetitions. The error names every
// word that is no capability.
func Parse(text string) ([]string, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "none":
		return nil, nil
	case "all":
		return names(raised(cap.GetProc(), cap.Permitted)), nil
	}
	values, err := parse(strings.Split(text, ","))
	if err != nil {
		return nil, err
	}
	return names(values), nil
}

// IsNone reports whether a user's list of capabilities is the word "none". It
// forbids holding any, which an empty list does not.
func IsNone(text string) bool {
	return strings.ToLower(strings.TrimSpace(text)) == "none"
}

// parse returns the capabilities of the given names in the order of their
// numbers, each once.
func parse(words []string) ([]cap.Value, error) {
	var unknown []string
	wanted := cap.NewSet()
	for _, word := range words {
		v, ok := value(word)
		if !ok {
			unknown = append(unknown, fmt.Sprintf("%q", strings.TrimSpace(word)))
			continue
		}
		if err := wanted.SetFlag(cap.Permitted, true, v); err != nil {
			return nil, fmt.Errorf("noting %v: %w", v, err)
		}
	}
	if unknown != nil {
		return nil, fmt.Errorf("unknown capability %s: write names of capabilities(7) such as cap_bpf, separated by commas",
			strings.Join(unknown, ", "))
	}
	return raised(wanted, cap.Permitted), nil
}

// value finds the capability of a name. With the prefix, a number is no name.
func value(word string) (cap.Value, bool) {
	name := strings.ToLower(strings.TrimSpace(word))
	if !strings.HasPrefix(name, "cap_") {
		name = "cap_" + name
	}
	v, err := cap.FromName(name)
	return v, err == nil
}

// raised lists the capabilities in one of a set's three flags.
func raised(set *cap.Set, flag cap.Flag) []cap.Value {
	var values []cap.Value
	for v := cap.Value(0); v < max(cap.MaxBits(), cap.NamedCount); v++ {
		if on, err := set.GetFlag(flag, v); err == nil && on {
			values = append(values, v)
		}
	}
	return values
}

// names returns the kernel's names of capabilities.
func names(values []cap.Value) []string {
	var list []string
	for _, v := range values {
		list = append(list, v.String())
	}
	return list
}
