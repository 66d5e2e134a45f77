// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// sum is a hash as go.sum has it, of the text, and as CycloneDX has it.
func sum(text string) (module, cyclone string) {
	raw := sha256.Sum256([]byte(text))
	return "h1:" + base64.StdEncoding.EncodeToString(raw[:]), strings.ToLower(hexOf(raw))
}

func hexOf(raw [sha256.Size]byte) string {
	const digits = "0123456789abcdef"
	var text strings.Builder
	for _, b := range raw {
		text.WriteByte(digits[b>>4])
		text.WriteByte(digits[b&15])
	}
	return text.String()
}

func TestDescribe(t *testing.T) {
	one, oneHash := sum("one")
	two, twoHash := sum("two")
	binary := sha256.Sum256([]byte("binary"))
	got, err := describe(&debug.BuildInfo{
		GoVersion: "go1.26.1", Main: debug.Module{Path: "example.org/program", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "example.org/one", Version: "v1.0.0", Sum: one},
			{Path: "example.org/gone", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/two", Version: "v2.0.0+incompatible", Sum: two}},
		},
		Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}, {Key: "-ldflags", Value: "-s"}},
	}, binary, "1.2.3+4.gabc")
	if err != nil {
		t.Fatal(err)
	}
	want := document{
		Format: "CycloneDX", Spec: "1.5", Version: 1,
		Metadata: metadata{component{
			Type: "application", Ref: "pkg:golang/example.org/program@1.2.3%2B4.gabc", Name: "example.org/program", Version: "1.2.3+4.gabc",
			PURL: "pkg:golang/example.org/program@1.2.3%2B4.gabc", Hashes: []hash{{"SHA-256", hexOf(binary)}}, Properties: []property{{"go:GOARCH", "arm64"}},
		}},
		Components: []component{
			{Type: "library", Ref: "pkg:golang/std@1.26.1", Name: "std", Version: "1.26.1", PURL: "pkg:golang/std@1.26.1"},
			{Type: "library", Ref: "pkg:golang/example.org/one@v1.0.0", Name: "example.org/one", Version: "v1.0.0",
				PURL: "pkg:golang/example.org/one@v1.0.0", Hashes: []hash{{"SHA-256", oneHash}}},
			{Type: "library", Ref: "pkg:golang/example.org/two@v2.0.0%2Bincompatible", Name: "example.org/two", Version: "v2.0.0+incompatible",
				PURL: "pkg:golang/example.org/two@v2.0.0%2Bincompatible", Hashes: []hash{{"SHA-256", twoHash}}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// A module that is a folder has no hash: the binary would not be reproducible.
func TestModuleWithoutHash(t *testing.T) {
	info := &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.org/one", Version: "v1.0.0", Replace: &debug.Module{Path: "../one"}}}}
	if _, err := describe(info, [sha256.Size]byte{}, "1"); err == nil || !strings.Contains(err.Error(), "../one") {
		t.Errorf("error %v", err)
	}
}

func TestWrite(t *testing.T) {
	var text bytes.Buffer
	if err := write(&text, "/proc/self/exe", "1"); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Metadata.Component.Name != "github.com/kernscope/kernscope" || "go"+d.Components[0].Version != runtime.Version() {
		t.Errorf("this binary is %+v", d)
	}
	if err := write(&text, "main.go", "1"); err == nil {
		t.Error("no error for what is no binary")
	}
}
