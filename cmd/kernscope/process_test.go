// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/kernscope/kernscope/collector/builtin"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// asCommand in the environment makes the test's binary be the command.
const asCommand = "KERNSCOPE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		intrude()
		main()
	}
	os.Exit(m.Run())
}

func parsed(t *testing.T, args ...string) *collectorFlags {
	t.Helper()
	app := kingpin.New("kernscope", "")
	flags := addCollectorFlags(app, builtin.Collectors())
	addList(app, flags)
	if _, err := parse(app, flags, args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// process is the command in a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	mu     sync.Mutex
	stderr bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// start runs the command, as another user if attr says so.
func start(t *testing.T, attr *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	return launch(t, attr, append([]string{executable(t)}, args...))
}

// startUnder runs the command through another.
func startUnder(t *testing.T, wrapper []string, args ...string) *process {
	t.Helper()
	kerneltest.Tool(t, wrapper[0])
	return launch(t, nil, append(append(wrapper, executable(t)), args...))
}

// executable is a copy of this binary where any user may run it.
func executable(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kernscope")
	for dir := filepath.Dir(binary); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	to, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, self); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return binary
}

func launch(t *testing.T, attr *syscall.SysProcAttr, argv []string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), argv[0], argv[1:]...)}
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	p.cmd.Dir = "/"
	p.cmd.Stderr = p
	p.cmd.SysProcAttr = attr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

// says waits until the process has logged something.
func (p *process) says(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.log(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("it does not say %q:\n%s", text, p.log())
		}
	}
}

// wait returns the exit code and what was written to standard error.
func (p *process) wait() (int, string) {
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode(), p.log()
}

// stop ends the process in order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code, stderr := p.wait(); code != exitOK {
		p.t.Errorf("exit code %d after SIGTERM:\n%s", code, stderr)
	}
}

// get fetches a page, trying until the process answers.
func (p *process) get(url string) string {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
		body, err := fetch(ctx, url)
		cancel()
		if err == nil {
			return body
		}
		if time.Now().After(deadline) || p.cmd.ProcessState != nil {
			p.t.Fatalf("%s: %v\n%s", url, err, p.log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// freeAddress is a loopback address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// nobody is an unprivileged user with the given capabilities.
func nobody(capabilities ...uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: capabilities,
	}
}

// inKernel returns the ids of the process's links and programs.
func (p *process) inKernel() (links []link.ID, programs []ebpf.ProgramID) {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		for line := range strings.Lines(string(text)) {
			var id uint32
			if n, _ := fmt.Sscanf(line, "link_id: %d", &id); n == 1 {
				links = append(links, link.ID(id))
			}
			if n, _ := fmt.Sscanf(line, "prog_id: %d", &id); n == 1 {
				programs = append(programs, ebpf.ProgramID(id))
			}
		}
	}
	return links, programs
}

// remaining is how many stay in the kernel, which frees them when no CPU can be
// running them any more.
func remaining(links []link.ID, programs []ebpf.ProgramID) (n int) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		n = 0
		for _, id := range links {
			if l, err := link.NewFromID(id); err == nil {
				l.Close()
				n++
			}
		}
		for _, id := range programs {
			if prog, err := ebpf.NewProgramFromID(id); err == nil {
				prog.Close()
				n++
			}
		}
		if n == 0 || time.Now().After(deadline) {
			return n
		}
	}
}
