// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

// Asked is what a user asks "kernscope config" for.
type Asked struct {
	Specs []collector.Spec
	// Some means that the user chose the collectors. Else they are all there are,
	// and what is generated again is of all there are then.
	Some bool
	// Unit is that in which latencies are served.
	Unit metric.Unit
}

// names returns the collectors' names.
func (a Asked) names() (names []string) {
	for _, s := range a.Specs {
		names = append(names, s.Name)
	}
	return names
}

// command returns the command that writes the same again.
func (a Asked) command(words ...string) string {
	words = append([]string{"kernscope config"}, words...)
	if a.Some {
		words = append(words, a.names()...)
	}
	return strings.Join(words, " ")
}

// units returns the flag of the unit.
func (a Asked) units() string { return "--units=" + a.Unit.String() }

// comments returns lines of a file in which # begins a comment. A text of several lines
// would end the comment, to one reader or another.
func comments(lines ...string) (string, error) {
	var out strings.Builder
	for _, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) || strings.HasSuffix(line, `\`) {
			return "", fmt.Errorf("%q: %w", line, errNotALine)
		}
		fmt.Fprintf(&out, "# %s\n", line)
	}
	return out.String(), nil
}

var errNotALine = errors.New("it is not one line of text")
