// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/internal/engine"
)

// serviceUser is one of those that systemd gives a unit with DynamicUser.
const serviceUser = 61184

// service is a child that runs as the package's unit does.
type service struct {
	t       *testing.T
	process *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Reader
	log     *lines
}

// asUnit hides, like the unit's ProtectKernelTunables, ProtectKernelModules and
// ProtectKernelLogs, files that root could read, and becomes the service's user
// with the capabilities $CAPS. $HIDDEN is a folder.
const asUnit = `set -e
umask 0
: >"$HIDDEN/file" && mkdir "$HIDDEN/folder"
chmod 000 "$HIDDEN/file" "$HIDDEN/folder"
for file in /proc/kallsyms /proc/kcore /proc/kmsg /dev/kmsg; do
	mount --bind "$HIDDEN/file" "$file"
done
mount --bind "$HIDDEN/folder" /usr/lib/modules
mount -o bind,ro,remount /sys 2>/dev/null || mount --rbind -o ro /sys /sys
ulimit -l unlimited
umask 0077
exec setpriv --reuid="$USER" --regid="$USER" --clear-groups --no-new-privs \
	--bounding-set="$CAPS" --inh-caps="$CAPS" --ambient-caps="$CAPS" /proc/self/fd/3
`

// startService starts a child with these capabilities, as setpriv(1) writes
// them.
func startService(t *testing.T, how serviceConfig, capabilities string) *service {
	t.Helper()
	text, err := json.Marshal(how)
	if err != nil {
		t.Fatal(err)
	}
	// Its user cannot enter the folder of this program.
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	s := &service{t: t, log: new(lines)}
	s.process = exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", asUnit)
	s.process.Env = append(os.Environ(), serviceVariable+"="+string(text), "HIDDEN="+t.TempDir(),
		fmt.Sprintf("USER=%d", serviceUser), "CAPS=-all,"+capabilities)
	s.process.Dir, s.process.Stderr, s.process.ExtraFiles = "/", s.log, []*os.File{self}
	if s.ask, err = s.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	answers, err := s.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.answers = bufio.NewReader(answers)
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Log(strings.Join(s.log.all(), ""))
		}
	})
	return s
}

// end ends the service, and waits for that.
func (s *service) end() {
	s.t.Helper()
	if s.process.ProcessState != nil {
		return
	}
	s.ask.Close()
	if err := s.process.Wait(); err != nil {
		s.t.Errorf("the service: %v", err)
	}
}

// look asks how the service fares.
func (s *service) look() (r serviceReport) {
	s.t.Helper()
	if _, err := s.ask.Write([]byte("\n")); err != nil {
		s.t.Fatalf("%v\n%s", err, strings.Join(s.log.all(), ""))
	}
	line, err := s.answers.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		s.t.Fatalf("%v\n%s", err, strings.Join(s.log.all(), ""))
	}
	return r
}

// becomes waits until the collector is in a state.
func (s *service) becomes(want engine.Status) (r serviceReport) {
	s.t.Helper()
	until(s.t, "the collector is "+string(want), func() bool {
		r = s.look()
		return r.State.Status == want
	})
	return r
}

// counts fails the test unless the collector runs and has counted so many links.
func (s *service) counts(want int) {
	s.t.Helper()
	r := s.look()
	if r.Links != want || r.Reread.Status != engine.Running {
		s.t.Errorf("counted %d links, %d were made; the collector is %s: %s", r.Links, want, r.Reread.Status, r.Reread.Reason)
	}
}

// has fails the test unless every thread has these capabilities, as masks: in
// effect, and permitted. None else is in any set from which it could come back.
func (s *service) has(effective, permitted uint64) {
	s.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.process.Process.Pid))
	if err != nil || len(tasks) < 2 {
		s.t.Fatalf("threads %v, %v", tasks, err)
	}
	want := map[string]uint64{"CapEff": effective, "CapPrm": permitted, "CapInh": 0, "CapAmb": 0}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(status)) {
			name, text, _ := strings.Cut(line, ":")
			mask, ok := want[name]
			if got := strings.TrimSpace(text); ok && got != fmt.Sprintf("%016x", mask) {
				s.t.Errorf("%s: %s is %s, want %016x", task, name, got, mask)
			}
		}
	}
}
