// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"strings"
	"testing"
)

func TestOptionOfACollectorThatDoesNotRun(t *testing.T) {
	for _, tc := range []struct {
		flags, named string
		warns        bool
	}{
		{"--collector.fileops.cgroups", "diskio", true},
		{"--collector.fileops.cgroups --no-collector.fileops", "", true},
		{"--collector.fileops.cgroups --collector.disable-defaults --collector.diskio", "", true},
		{"--collector.fileops.cgroups", "fileops", false},
		{"--collector.fileops.cgroups", "", false},
		{"--collector.fileops.cgroups --collector.disable-defaults --collector.fileops", "", false},
		{"--no-collector.fileops.cgroups", "diskio", false},
		{"", "diskio", false},
	} {
		flags := parsed(t, append([]string{"list"}, strings.Fields(tc.flags)...)...)
		specs, err := flags.chosen(strings.Fields(tc.named))
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		if _, err := flags.engineConfig(specs, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		const warning = `level=WARN msg="Option has no effect" flag=--collector.fileops.cgroups collector=fileops`
		if warns := strings.Contains(log.String(), warning); warns != tc.warns || !warns && log.Len() > 0 {
			t.Errorf("%s %s: log %q, want the warning: %v", tc.flags, tc.named, log.String(), tc.warns)
		}
	}
}
