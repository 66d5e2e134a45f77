// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/metric"
)

func TestHost(t *testing.T) {
	long := strings.Repeat("a", 63)
	for text, want := range map[string]string{
		"db1": "db1", "DB-1.example.org": "DB-1.example.org", "db1.example.org.": "db1.example.org.", "node_exporter": "node_exporter",
		"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1", "[2001:db8::1]": "2001:db8::1", "fe80::1%eth0": "fe80::1%eth0",
		"[fe80::1%wlp3s0.100]": "fe80::1%wlp3s0.100", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"3com.example": "3com.example", long: long, strings.Repeat(long+".", 3) + "example": strings.Repeat(long+".", 3) + "example",
		"a\xffb": "", "": "", ".": "", "a..b": "", "-a": "", "a-": "", "a b": "", "a\rb": "", "a\u0085b": "", "a\u2028b": "", "a\nb": "", "a\x00": "",
		"bücher.example": "", "db1:9436": "", "http://db1": "", "db1/metrics": "", "user@db1": "", "a#b": "", "a{b}": "", "*": "", "$(id)": "",
		"[db1]": "", "[192.0.2.1]": "", "[::1": "", "::1]": "", "[]": "", "1.2.3": "", "256.1.1.1": "", "1.2.3.04": "", "12345": "", "::1::": "",
		"fe80::1%": "", "fe80::1%a b": "", "fe80::1%\r": "", "fe80::1%eth0]:1": "", "fe80::1%abcdefghijklmnop": "", "192.0.2.1%eth0": "",
		long + "a": "", strings.Repeat(long+".", 4): "",
	} {
		if got, err := host(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestHostPort(t *testing.T) {
	for text, want := range map[string]string{
		"am:9093": "am:9093", "192.0.2.1:1": "192.0.2.1:1", "[::1]:65535": "[::1]:65535", "[fe80::1%eth0]:80": "[fe80::1%eth0]:80",
		"am": "", "am:": "", ":9093": "", "am:0": "", "am:65536": "", "am:-1": "", "am:+80": "", "am:080": "", "am:http": "", "am:80 ": "", "am:8\u00b2": "",
		"::1:80": "", "[am]:80": "", "am:80/x": "", "a:b:80": "", "am:99999999999999999999": "", "x\revil:\r#": "", "x\revil:\r": "",
	} {
		if got, err := hostPort(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
}

// FuzzScrape wants an error, or a file that has what was asked for and nothing else.
func FuzzScrape(f *testing.F) {
	for _, add := range []string{
		"\r", "\n", "\x85", "\u0085", "\u2028", "\u2029", "\xff", "\x0b", "\x01", "\x7f", "\ufeff", "#", ": ", "'", `"`, "%", "{{.}}", "\revil:\r#", "\t", "\\",
	} {
		f.Add("a"+add+"b", "am"+add+":1", "nas"+add)
		f.Add("a", "x"+add+"y:"+add, "nas")
		f.Add("fe80::1%"+add, "[fe80::1%"+add+"]:1", add)
	}
	f.Add("fe80::1%eth0", "[::1]:9093", "yes")
	f.Add("true", "0x1f:1", "null")
	f.Fuzz(func(t *testing.T, target, manager, textfile string) {
		asked := Asked{Specs: []collector.Spec{{Name: "diskio", Port: 9101}}, Some: true, Unit: metric.Seconds}
		text, err := Prometheus(asked, Scrape{
			Layout: OnePort, Hosts: []string{target}, Alertmanagers: []string{manager}, Textfiles: []string{textfile},
		})
		if err != nil {
			if text != nil || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }) {
				t.Errorf("error %q, text %q", err, text)
			}
			return
		}
		if strings.ContainsFunc(string(text), func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
			t.Errorf("%q has more than lines of ASCII", text)
		}
		var c config
		decoder := yaml.NewDecoder(strings.NewReader(string(text)))
		decoder.KnownFields(true)
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		var got []string
		for _, s := range c.ScrapeConfigs {
			for _, g := range s.StaticConfigs {
				got = append(got, g.Targets...)
			}
		}
		got = append(got, c.Alerting.Alertmanagers[0].StaticConfigs[0].Targets...)
		name, err := host(target)
		other, otherErr := host(textfile)
		if err != nil || otherErr != nil {
			t.Fatal(err, otherErr)
		}
		want := append(addresses([]string{name}, Port), addresses([]string{name}, nodeExporterPort)...)
		if name != other {
			want = append(want, addresses([]string{other}, nodeExporterPort)...)
		}
		if want = append(want, manager); !slices.Equal(got, want) {
			t.Errorf("it scrapes %q, want %q", got, want)
		}
		if lines := strings.Count(string(text), "\n"); lines > 60 {
			t.Errorf("%d lines: %s", lines, text)
		}
	})
}

func TestComments(t *testing.T) {
	if text, err := comments("one", "two: µ"); err != nil || text != "# one\n# two: µ\n" {
		t.Errorf("%q, %v", text, err)
	}
	for _, line := range []string{"a\nb", "a\rb", "a\u0085b", "a\u2028b", "a\xffb", "\x1b[m", `a\`} {
		if text, err := comments("one", line); err == nil || text != "" {
			t.Errorf("%q: %q", line, text)
		}
	}
}
