// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What the shells' completions ask for: the words so far, the last one begun.
func TestCompletion(t *testing.T) {
	for _, tc := range []struct {
		words string
		has   []string
	}{
		{"", []string{"serve", "textfile", "config", "doctor", "diskio"}},
		{"text", []string{"textfile"}},
		{"config ", []string{"prometheus", "rules", "dashboard", "systemd"}},
		{"config rules disk", []string{"diskio"}},
		{"config rules diskio ", []string{"schedlat"}},
		{"serve tcp", []string{"tcp-retransmit"}},
		{"textfile --unp", []string{"--unpin"}},
	} {
		cmd := exec.Command(os.Args[0], append([]string{"--completion-bash"}, strings.Split(tc.words, " ")...)...)
		cmd.Env = append(os.Environ(), asCommand+"=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", tc.words, err)
		}
		offered := strings.Fields(string(out))
		for _, word := range tc.has {
			if !slices.Contains(offered, word) {
				t.Errorf("after %q, %q is not offered: %q", tc.words, word, offered)
			}
		}
	}
}
