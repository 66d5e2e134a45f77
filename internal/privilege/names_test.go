// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"slices"
	"testing"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

func TestParse(t *testing.T) {
	for text, want := range map[string][]string{
		"":                        nil,
		"none":                    nil,
		"cap_bpf,cap_perfmon":     {"cap_perfmon", "cap_bpf"},
		" CAP_BPF , bpf, Perfmon": {"cap_perfmon", "cap_bpf"},
		"all":                     names(raised(cap.GetProc(), cap.Permitted)),
	} {
		got, err := Parse(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseNamesEveryMistake(t *testing.T) {
	for text, want := range map[string]string{
		"cap_bpf,cap_foo,bar": `unknown capability "cap_foo", "bar": `,
		"39":                  `unknown capability "39": `,
		"cap_bpf,":            `unknown capability "": `,
		"all,none":            `unknown capability "all", "none": `,
	} {
		got, err := Parse(text)
		if err == nil || got != nil {
			t.Errorf("Parse(%q) = %v, %v; want an error", text, got, err)
			continue
		}
		if rest := "write names of capabilities(7) such as cap_bpf, separated by commas"; err.Error() != want+rest {
			t.Errorf("Parse(%q): %v", text, err)
		}
	}
}
