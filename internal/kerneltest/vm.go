// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Machine returns the name of the machine of the matrix that the test runs on, or
// "" on any other machine.
func Machine() string { return os.Getenv("KERNSCOPE_MACHINE") }

// Kernel returns the pinned name, "6.12", of the kernel of the matrix that the
// test runs on, or "" on the machine's own kernel.
func Kernel() string { return os.Getenv("KERNSCOPE_KERNEL") }

// VM skips a test that needs one of the matrix's own machines on the machine's
// own kernel: kernel modules or devices that a test must not touch elsewhere.
// The message starts with "vm-only:", by which scripts/test tells it from
// missing support.
func VM(t testing.TB, why string) {
	t.Helper()
	if Kernel() == "" {
		t.Skip("vm-only: " + why)
	}
}

// Command runs a command of the list of tools and returns what it wrote to its
// standard output. The test fails with all that it wrote if it does. It may be
// used in clean-ups.
func Command(t testing.TB, name string, args ...string) string {
	t.Helper()
	Tool(t, name)
	var stdout, stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}
