// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	_ "embed"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

//go:embed tools
var tools string

// Tool fails the test if the list of tools lacks a command, and so scripts/test
// does not install it, or if this machine lacks it.
func Tool(t testing.TB, name string) {
	t.Helper()
	if err := findTool(name); err != nil {
		t.Fatal(err)
	}
}

func findTool(name string) error {
	debian := packageOf(name)
	if debian == "" {
		return fmt.Errorf("%s is not in internal/kerneltest/tools, by which scripts/test installs what the tests need: add it", name)
	}
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Errorf("%s is missing: apt-get install %s", name, debian)
	}
	return nil
}

// packageOf returns the package of Debian that a command is in, or "" if the
// list lacks it.
func packageOf(command string) string {
	for line := range strings.Lines(tools) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == command {
			return words[1]
		}
	}
	return ""
}
