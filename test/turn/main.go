// SPDX-License-Identifier: Apache-2.0

// Command turn says which packages the matrix tests on which kernel.
//
//	turn REV N KERNEL... <PACKAGES
//
// A line of PACKAGES is an import path, a tab and a folder. For each kernel, turn
// prints those lines that are due there, behind the kernel's name and a tab.
// A package that a change since the commit REV can touch is due on every kernel.
// The others take turns: N, N+1 and N+2 test each on every kernel once. If REV
// is "", all is due.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

const module = "github.com/kernscope/kernscope/"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "turn:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return errors.New("takes a commit or \"\", a number, and kernels")
	}
	since, kernels := args[0], args[2:]
	turn, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("reading the turn: %w", err)
	}
	var packages []pkg
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		path, _, _ := strings.Cut(lines.Text(), "\t")
		packages = append(packages, pkg{path: path, line: lines.Text()})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the packages: %w", err)
	}
	var changed []string
	if since != "" {
		out, err := output("git", "diff", "--name-only", "--no-renames", since)
		if err != nil {
			return err
		}
		changed = strings.Fields(out)
		if err := findFolders(packages); err != nil {
			return err
		}
	}
	for k, kernel := range kernels {
		for p, pkg := range packages {
			if since == "" || pkg.touched(changed) || hasTurn(k, p, turn) {
				fmt.Printf("%s\t%s\n", kernel, pkg.line)
			}
		}
	}
	return nil
}

// findFolders asks go for the folders of what is in each package's test binary.
func findFolders(packages []pkg) error {
	args := []string{"list", "-test", "-f", `{{.ImportPath}}{{"\t"}}{{range .Deps}}{{.}}{{"\t"}}{{end}}`}
	for _, p := range packages {
		args = append(args, p.path)
	}
	out, err := output("go", args...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		binary, deps, _ := strings.Cut(strings.TrimSpace(line), "\t")
		for i := range packages {
			if binary == packages[i].path+".test" {
				packages[i].folders = folders(deps)
			}
		}
	}
	return nil
}

func output(name string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err, stderr.String())
	}
	return string(out), nil
}
