// SPDX-License-Identifier: Apache-2.0

// Command report reads the output of "go test -json" and prints what a person
// wants of it: a line per package, the full output of what failed, and at the
// end the tests that this machine could not run, and those that it disturbed,
// with the reason.
//
// Three reasons to skip are legal. The kernel refuses BPF altogether, as in a
// container; the test needs a machine of the matrix; or others disturbed every
// attempt at it (kerneltest.Conclusive), which makes it neither a passed nor a
// failed test. Such a test skips with a message that starts with "no-bpf: ",
// "vm-only: " or "not-conclusive: ". Any other skip is a failure: a test that
// nobody runs proves nothing.
//
// The exit status says what the stream says; whether go test itself came to
// its end is for the caller to see (pipefail).
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	report := newReport(out)
	err := report.read(os.Stdin, out.Flush)
	if err == nil {
		err = report.close()
	}
	out.Flush()
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}
