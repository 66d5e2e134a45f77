// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestWrite describes a binary of kernscope, and compares with what Go says of the
// modules that its packages come from, and with go.sum.
func TestWrite(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "kernscope")
	const program = "github.com/kernscope/kernscope/cmd/kernscope"
	if out, err := exec.Command("go", "build", "-o", binary, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := write(out, binary, "1.2.3+4"); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Error("two runs differ")
	}
	var d document
	if err := json.Unmarshal(first.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	about := d.Metadata.Component
	if about.Name != "github.com/kernscope/kernscope" || about.PURL != "pkg:golang/github.com/kernscope/kernscope@1.2.3%2B4" ||
		about.Hashes[0].Content != fmt.Sprintf("%x", sha256.Sum256(content)) {
		t.Errorf("the program is %+v", about)
	}
	list, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"std " + strings.TrimPrefix(runtime.Version(), "go"): true}
	for line := range strings.Lines(string(list)) {
		if line = strings.TrimSpace(line); line != "" {
			want[line] = true
		}
	}
	sums, err := os.ReadFile("../../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range d.Components {
		name := c.Name + " " + c.Version
		if !want[name] {
			t.Errorf("%s is there, and Go does not know it", name)
		}
		delete(want, name)
		if c.Name == "std" {
			continue
		}
		raw, err := hex.DecodeString(c.Hashes[0].Content)
		if err != nil {
			t.Fatal(err)
		}
		if line := name + " h1:" + base64.StdEncoding.EncodeToString(raw) + "\n"; !strings.Contains(string(sums), line) {
			t.Errorf("go.sum has no line %s", line)
		}
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
}

func TestWriteOfNoBinary(t *testing.T) {
	if err := write(&bytes.Buffer{}, "main.go", "1"); err == nil {
		t.Error("no error")
	}
}
