// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Modprobe loads a kernel module, and those that it needs. It does nothing if
// the module is loaded or built in.
func Modprobe(name string, options ...string) error {
	if out, err := exec.Command("modprobe", append([]string{name}, options...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("loading the module %s: %w: %s", name, err, out)
	}
	return nil
}

// LoadModule loads a module that the test needs. It stays: what else uses it is
// not known.
func LoadModule(t testing.TB, name string, options ...string) {
	t.Helper()
	Tool(t, "modprobe")
	if err := Modprobe(name, options...); err != nil {
		t.Fatal(err)
	}
}

// UnloadModule unloads a module that nobody uses any more. It waits for the
// last who do.
func UnloadModule(t testing.TB, name string) {
	t.Helper()
	Until(t, name+" can be unloaded", func() error {
		return unix.DeleteModule(name, unix.O_NONBLOCK)
	})
}
