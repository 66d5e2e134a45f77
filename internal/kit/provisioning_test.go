// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestProvisioning reads the files as Grafana does, which knows no other keys.
func TestProvisioning(t *testing.T) {
	read := func(name string, into any) {
		decoder := yaml.NewDecoder(bytes.NewReader(Provisioning()[name]))
		decoder.KnownFields(true)
		if err := decoder.Decode(into); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var dashboards struct {
		Version   int `yaml:"apiVersion"`
		Providers []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	read("dashboards/kernscope.yml", &dashboards)
	if p := dashboards.Providers; dashboards.Version != 1 || len(p) != 1 || p[0].Type != "file" || p[0].Options.Path != "/usr/share/kernscope/grafana" {
		t.Errorf("dashboards: %+v", dashboards)
	}
	var sources struct {
		Version     int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, Access, URL string
			JSONData                struct {
				HTTPMethod   string `yaml:"httpMethod"`
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	read("datasources/kernscope.yml", &sources)
	if s := sources.Datasources; sources.Version != 1 || len(s) != 1 || s[0].Type != "prometheus" || s[0].JSONData.TimeInterval != scrapeInterval {
		t.Errorf("data sources: %+v", sources)
	}
}
