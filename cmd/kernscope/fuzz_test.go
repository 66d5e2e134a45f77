// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector/builtin"
)

// FuzzCommandLine checks that any command line, one argument on each line, is refused or names a
// command.
func FuzzCommandLine(f *testing.F) {
	for _, args := range []string{
		"serve\n--web.listen-address=:9436\n--collector.fileops.cgroups", "textfile\n--window=-1s", "--units=seconds\nlist", "config\nprometheus\n--target=db1",
		"--help", "-v", "help\nnosuch", "--\n--x", "--collector.disable-defaults\n--no-collector.diskio", "--keep-capabilities=\xff", "", "=\n--=",
	} {
		f.Add(args)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		for _, arg := range args {
			if strings.HasPrefix(arg, "@") {
				return // a file of arguments
			}
		}
		app := kingpin.New("kernscope", "")
		app.UsageWriter(io.Discard)
		app.ErrorWriter(io.Discard)
		ended := false
		app.Terminate(func(int) { ended = true })
		collectors := addCollectorFlags(app, builtin.Collectors())
		commands := make(map[string]bool)
		for _, add := range append([]addCommand{addServe, addTextfile, addList, addDoctor}, configCommands(app)...) {
			name, _ := add(app, collectors)
			commands[name] = true
		}
		if name, err := app.Parse(args); err == nil && !ended && !commands[name] {
			t.Errorf("%q: there is no command %q", args, name)
		}
	})
}

// FuzzMappings checks that only mappings of the file are found, whatever else is mapped: the names
// are those of files of others.
func FuzzMappings(f *testing.F) {
	const mine = "00400000-00e00000 r-xp 00000000 08:01 1234   /usr/bin/kernscope\nSize: 10240 kB\nAnonymous:             0 kB\n"
	f.Add(mine + "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \nAnonymous:             4 kB\n")
	f.Add("Anonymous:\n00400000-00e00000 r-xp 0 0 0 /usr/bin/kernscope\nAnonymous:")
	f.Add("00-ff - - - - /usr/bin/kernscope\nx-y r - - - - /usr/bin/kernscope\nAnonymous: 0")
	if text, err := os.ReadFile("/proc/self/smaps"); err == nil {
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/usr/bin/kernscope") {
			_, _ = pureMappings([]byte(text), "/usr/bin/kernscope")
			return
		}
		found, _ := pureMappings([]byte(text+"\n"+mine), "/usr/bin/kernscope")
		if len(found) > 0 && found[0] != [2]uintptr{0x400000, 0xe00000} || len(found) > 1 {
			t.Errorf("%q: %x", text, found)
		}
	})
}
