// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kit"
)

func TestUnitsArePrintedOrWritten(t *testing.T) {
	files, err := kit.Systemd(builtin.Collectors())
	if err != nil {
		t.Fatal(err)
	}
	_, printed, _ := command(t, "config", "systemd")
	dir := t.TempDir()
	if code, stdout, stderr := command(t, "config", "systemd", "--directory="+dir); code != exitOK || stdout != "" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v, %q", name, err, got)
		}
		if !strings.Contains(printed, "# "+name+"\n"+string(want)) {
			t.Errorf("%s was not printed", name)
		}
	}

	flags := "/usr/bin/kernscope --units=seconds --collector.disable-defaults --collector.diskio --collector.schedlat "
	_, some, _ := command(t, "--units=seconds", "config", "systemd", "diskio", "schedlat")
	for _, rest := range []string{"serve $ARGS\n", "serve %i $ARGS\n", "textfile "} {
		if !strings.Contains(some, flags+rest) {
			t.Errorf("no service is %q:\n%s", flags+rest, some)
		}
	}
	if strings.Contains(printed, "--units") || strings.Contains(printed, "--collector") {
		t.Errorf("services of all collectors are told more than they need:\n%s", printed)
	}

	_, few, _ := command(t, "config", "systemd", "diskio", "schedlat")
	if strings.Contains(few, "CAP_SYS_ADMIN") || !strings.Contains(few, "Wants=kernscope@diskio.service\nWants=kernscope@schedlat.service\n\n") {
		t.Errorf("for two collectors:\n%s", few)
	}
	if code, _, stderr := command(t, "config", "systemd", "--directory="+dir+"/absent"); code != exitFailure || !strings.Contains(stderr, "absent") {
		t.Errorf("a directory that is not there: code %d, %q", code, stderr)
	}
}
