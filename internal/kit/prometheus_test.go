// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector"
)

func TestScrapeThatCannotBe(t *testing.T) {
	for _, tc := range []struct {
		says  string
		spoil func(*Scrape, *collector.Spec)
	}{
		{"no host", func(s *Scrape, _ *collector.Spec) { s.Hosts = nil }},
		{`"db1:9436"`, func(s *Scrape, _ *collector.Spec) { s.Hosts = []string{"db1:9436"} }},
		{`"http://db1"`, func(s *Scrape, _ *collector.Spec) { s.Hosts = []string{"db2", "http://db1"} }},
		{`""`, func(s *Scrape, _ *collector.Spec) { s.Hosts = []string{""} }},
		{`"a b"`, func(s *Scrape, _ *collector.Spec) { s.Hosts = []string{"a b"} }},
		{`flag --alertmanager: "am"`, func(s *Scrape, _ *collector.Spec) { s.Alertmanagers = []string{"am"} }},
		{`flag --alertmanager: "am\nx:1"`, func(s *Scrape, _ *collector.Spec) { s.Alertmanagers = []string{"am\nx:1"} }},
		{`flag --textfile-target: "a:1"`, func(s *Scrape, _ *collector.Spec) { s.Textfiles = []string{"a:1"} }},
		{"exporter=textfile", func(s *Scrape, _ *collector.Spec) { s.Textfiles, s.JobOnly = []string{"nas"}, true }},
		{"the job alone", func(s *Scrape, _ *collector.Spec) { s.Alertmanagers, s.JobOnly = []string{"am:9093"}, true }},
		{`layout "both"`, func(s *Scrape, _ *collector.Spec) { s.Layout = "both" }},
		{"no collector has a port", func(_ *Scrape, s *collector.Spec) { s.Port = 0 }},
	} {
		spec, scrape := gadget(), Scrape{Layout: PerCollector, Hosts: []string{"nas"}}
		tc.spoil(&scrape, &spec)
		text, err := Prometheus(Asked{Specs: []collector.Spec{spec}}, scrape)
		if err == nil || !strings.Contains(err.Error(), tc.says) || text != nil {
			t.Errorf("error %v does not say %q; text %q", err, tc.says, text)
		}
	}
}
