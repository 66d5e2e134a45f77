// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/textfile"
)

// fails runs the command, which must end with an error of one line that says
// these words, and leave the files as they are.
func (p place) fails(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	before := p.texts(t)
	got, _, stderr := command(t, args...)
	if got != code {
		t.Errorf("%v: exit code %d, want %d: %s", args, got, code, stderr)
	}
	last := lastLine(stderr)
	for _, word := range append(words, "kernscope: ") {
		if !strings.Contains(last, word) {
			t.Errorf("%v: %q does not say %q", args, last, word)
		}
	}
	if after := p.texts(t); len(after) != len(before) {
		t.Errorf("%v: %d files, %d before", args, len(after), len(before))
	} else {
		for name, text := range before {
			if after[name] != text {
				t.Errorf("%v: %s has changed", args, name)
			}
		}
	}
}

// texts are the files, if there is the directory.
func (p place) texts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.files, "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(p.files, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, name := range append(files, hidden...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

func TestTextfileBadInput(t *testing.T) {
	p := newPlace(t)
	p.run(t, "tcp-retransmit", "--no-pin")
	elsewhere := t.TempDir()
	with := func(flag, value string, more ...string) []string {
		return p.args(append(more, flag+"="+value, "tcp-retransmit")...)
	}
	taken, err := textfile.Open(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		code  int
		words []string
		args  []string
	}{
		{exitFailure, []string{elsewhere + "/missing", "does not exist: create it", "--directory"}, with("--directory", elsewhere+"/missing")},
		{exitFailure, []string{elsewhere, "another kernscope"}, with("--directory", elsewhere)},
		{exitFailure, []string{"--pin", elsewhere, "mount -t bpf"}, with("--pin-directory", elsewhere+"/x", "--pin")},
		{exitUsage, []string{"--window", "-1s"}, with("--window", "-1s")},
		{exitUsage, []string{"--unpin"}, p.args("--unpin", "--no-pin")},
		{exitUsage, []string{`"nosuch"`}, p.args("nosuch")},
		{exitUsage, []string{`"nosuch"`}, p.args("--unpin", "nosuch")},
	} {
		p.fails(t, tt.code, tt.words, tt.args...)
	}
	if _, err := os.Stat(p.pins); !os.IsNotExist(err) {
		t.Errorf("what failed has pinned: %v", err)
	}
	// Without being asked for, pinning is left out where it is not possible.
	log := p.run(t, "--pin-directory="+elsewhere+"/x", "tcp-retransmit")
	if !strings.Contains(log, "Nothing can be pinned") || !strings.Contains(log, elsewhere) {
		t.Errorf("the log does not say that nothing is pinned:\n%s", log)
	}
	p.run(t, "--pin-directory="+elsewhere+"/x", "--unpin")
	p.run(t, "--pin-directory="+elsewhere+"/missing/x", "--unpin")
}

// TestTextfileOnAFullDisk has no room for a new file: the old one stays, and
// nothing is pinned by a run that could not write.
func TestTextfileOnAFullDisk(t *testing.T) {
	p := newPlace(t)
	if err := unix.Mount("none", p.files, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(p.files, unix.MNT_DETACH)
	p.run(t, "fileops", "--no-pin")
	filler, err := os.Create(filepath.Join(p.files, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	p.fails(t, exitFailure, []string{filepath.Join(p.files, "fileops.prom"), "no space left"}, p.args("fileops")...)
	if links, programs := p.pinned(t); len(links)+len(programs) > 0 {
		t.Errorf("%d links and %d programs are pinned", len(links), len(programs))
	}
}

// TestTextfileWithoutBPF is what a container does to root: files of collectors
// that do not run say so and nothing else, and others stay.
func TestTextfileWithoutBPF(t *testing.T) {
	p := newPlace(t)
	p.run(t)
	foreign := filepath.Join(p.files, "other.prom")
	if err := os.WriteFile(foreign, []byte("other 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	container := []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"}
	code, stderr := startUnder(t, container, p.args("schedlat")...).wait()
	if code != exitFailure || !strings.Contains(lastLine(stderr), "schedlat is denied") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	// node_exporter serves that it does not run, and no old numbers.
	texts := p.texts(t)
	broken := texts[filepath.Join(p.files, "schedlat.prom")]
	if !strings.Contains(broken, `kernscope_collector_success{collector="schedlat"} 0`) ||
		!strings.Contains(broken, `status="denied"`) || strings.Contains(broken, "ebpf_") {
		t.Errorf("schedlat's file says\n%s", broken)
	}
	if fileops := texts[filepath.Join(p.files, "fileops.prom")]; !strings.Contains(fileops, "ebpf_file_ops_total{") {
		t.Errorf("fileops' file says\n%s", fileops)
	}
	code, stderr = startUnder(t, container, p.args()...).wait()
	if code != exitFailure || !strings.Contains(lastLine(stderr), "tcp-retransmit is denied") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	texts = p.texts(t)
	if len(texts) != 1+len(builtin.Collectors()) || texts[foreign] == "" {
		t.Errorf("%d files are left", len(texts))
	}
	for name, text := range texts {
		if name != foreign && (strings.Contains(text, "ebpf_") || !strings.Contains(text, "kernscope_collector_info{")) {
			t.Errorf("%s says\n%s", name, text)
		}
	}
}

// TestTextfileKilled kills runs at any time: every file is as one run wrote it,
// and the next run puts in order what is left.
func TestTextfileKilled(t *testing.T) {
	p := newPlace(t)
	binary := executable(t)
	run := func() *process { return launch(t, nil, append([]string{binary}, p.args("fileops", "schedlat")...)) }
	begin := time.Now()
	if code, stderr := run().wait(); code != exitOK {
		t.Fatal(stderr)
	}
	whole := time.Since(begin)
	p.run(t, "--unpin")
	tries := 20
	if kerneltest.Kernel() != "" {
		tries = 6
	}
	for range tries {
		delay := time.Duration(rand.Int64N(int64(whole)))
		killed := run()
		time.Sleep(delay)
		_ = killed.cmd.Process.Kill()
		killed.wait()
		for name, text := range p.texts(t) {
			// The last family of a file.
			if strings.HasSuffix(name, ".prom") && !strings.Contains(text, "\nkernscope_program_runs_total{") {
				t.Errorf("killed after %v: %s is not whole:\n%s", delay, name, text)
			}
		}
	}
	p.run(t, "fileops", "schedlat")
	read(t, 101)
	p.run(t, "fileops", "schedlat")
	files := readFiles(t, p.files) // which parses every one
	if len(files) != 2 || files.reads() != 101 {
		t.Errorf("%d files, %v reads, 101 were made", len(files), files.reads())
	}
	links, programs := p.pinned(t)
	p.run(t, "--unpin")
	if n := remaining(links, programs); n > 0 || len(programs) == 0 {
		t.Errorf("%d of %d links and programs stay in the kernel", n, len(links)+len(programs))
	}
}
