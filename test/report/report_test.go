// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// stream returns the events of a package with one test that prints output and
// ends with action, as "go test -json" writes them.
func stream(action, output string) string {
	const mod = `"Package":"github.com/kernscope/kernscope/a"`
	end := "pass"
	if action == "fail" || action == "" {
		end = "fail"
	}
	s := `{"Action":"run",` + mod + `,"Test":"TestX"}
{"Action":"output",` + mod + `,"Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"output",` + mod + `,"Test":"TestX","Output":"` + output + `\n"}
`
	if action != "" {
		s += `{"Action":"` + action + `",` + mod + `,"Test":"TestX"}` + "\n"
	}
	return s + `{"Action":"output",` + mod + `,"Output":"PASS\n"}
{"Action":"output",` + mod + `,"Output":"closing line\n"}
{"Action":"` + end + `",` + mod + `}
`
}

func TestReport(t *testing.T) {
	const passes = "tests: 1 passed, 0 failed, 0 skipped"
	for _, tt := range []struct {
		name, in string
		want     []string
		wantNot  string
		wantErr  string
	}{
		{
			name: "pass shows the package only",
			in:   stream("pass", "    a_test.go:1: chatter"),
			want: []string{"closing line", passes}, wantNot: "chatter",
		},
		{
			name: "fail shows the output",
			in:   stream("pass", "") + stream("fail", "    a_test.go:1: got 2, want 3"),
			want: []string{"got 2, want 3", "tests: 1 passed, 1 failed, 0 skipped"}, wantErr: "1 tests failed",
		},
		{
			name: "refused BPF is named with the reason",
			in:   stream("pass", "") + stream("skip", "    a_test.go:9: no-bpf: operation not permitted"),
			want: []string{
				"Not run here, because the kernel refuses BPF: operation not permitted\n  a TestX\n",
				"tests: 1 passed, 0 failed, 1 skipped",
			},
		},
		{
			name: "what needs the matrix is named",
			in:   stream("pass", "") + stream("skip", "    vm.go:25: vm-only: needs null_blk"),
			want: []string{"Not run here, but by make test-vm: needs null_blk\n  a TestX\n"},
		},
		{
			name: "what was disturbed is named, and neither passed nor failed",
			in:   stream("pass", "") + stream("skip", "    attempt.go:9: not-conclusive: 4 attempts: others read"),
			want: []string{
				"NOT CONCLUSIVE, neither passed nor failed",
				"  a TestX: 4 attempts: others read\n",
				"tests: 1 passed, 0 failed, 0 skipped, 1 NOT CONCLUSIVE\n",
			},
		},
		{
			name: "a test with a disturbed subtest has not passed",
			in: stream("pass", "") + strings.ReplaceAll(stream("skip", "    attempt.go:9: not-conclusive: 4 attempts: others read"), "TestX", "TestY/sub") +
				strings.ReplaceAll(stream("pass", ""), "TestX", "TestY"),
			want: []string{"  a TestY/sub: 4", "tests: 1 passed, 0 failed, 0 skipped, 2 NOT CONCLUSIVE\n"}, wantNot: "a TestY:",
		},
		{
			name: "a disturbed run in which nothing passed proves nothing",
			in:   stream("skip", "    attempt.go:9: not-conclusive: 4 attempts: others read"), wantErr: "no test passed",
		},
		{
			name: "any other skip is an error",
			in:   stream("pass", "") + stream("skip", "    a_test.go:9: needs a sunny day"),
			want: []string{"sunny day", "Skipped without right: a TestX"}, wantErr: "1 tests skipped without right",
		},
		{
			name: "the reason must come from the skip, not from the chatter before it",
			in:   stream("pass", "") + stream("skip", "someone said no-bpf: hello"),
			want: []string{"Skipped without right"}, wantErr: "without right",
		},
		{
			name: "a test that never ended has failed",
			in:   stream("pass", "") + stream("", "panic: index out of range"),
			want: []string{"NO END: a TestX\npanic: index out of range"}, wantErr: "1 tests failed",
		},
		{
			name: "a package that does not build is shown",
			in: stream("pass", "") + `{"ImportPath":"a","Action":"build-output","Output":"a.go:1: undefined: b\n"}
{"Action":"fail","Package":"a","FailedBuild":"a"}`,
			want: []string{"a.go:1: undefined: b", "1 passed, 1 failed"}, wantErr: "1 tests failed",
		},
		{
			name: "nothing passed",
			in:   stream("skip", "    a_test.go:9: no-bpf: operation not permitted"), wantErr: "no test passed",
		},
		{
			name:    "what is not JSON is an error",
			in:      stream("pass", "") + "go: cannot find main module",
			wantErr: "reading go test -json",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out)
			err := r.read(strings.NewReader(tt.in), func() error { return nil })
			if err == nil {
				err = r.close()
			}
			if tt.wantErr == "" && err != nil {
				t.Errorf("failed with %v", err)
			}
			if tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("error is %v, want %q", err, tt.wantErr)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q:\n%s", want, &out)
				}
			}
			if tt.wantNot != "" && strings.Contains(out.String(), tt.wantNot) {
				t.Errorf("shows %q:\n%s", tt.wantNot, &out)
			}
		})
	}
}
